import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A proxy that puts a server into a folder, takes that off the addresses and says so, as Traefik does. `large`: bytes from
 * which it refuses a body with a page of its own.
 */
export async function startProxy(target: string, folder: string, large = Number.POSITIVE_INFINITY): Promise<Proxy> {
  const server = createServer((incoming, outgoing) => {
    const { url = "", method, headers } = incoming;
    if (!url.startsWith(folder)) {
      outgoing.writeHead(404).end("another application");
      return;
    }
    if (Number(headers["content-length"] ?? 0) > large) {
      incoming.resume();
      outgoing
        .writeHead(413, { "Content-Type": "text/html" })
        .end("<html><h1>413 Request Entity Too Large</h1></html>");
      return;
    }
    const address = new URL(url.slice(folder.length) || "/", target);
    const sent = request(address, { method, headers: { ...headers, "X-Forwarded-Prefix": folder } }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    sent.on("error", () =>
      outgoing.writeHead(502, { "Content-Type": "text/html" }).end("<html>502 Bad Gateway</html>"),
    );
    incoming.pipe(sent);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}${folder}`, close: () => close(server) };
}

export interface Proxy {
  readonly address: string;
  readonly close: () => Promise<void>;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((closed) => server.close(() => closed()));
}
