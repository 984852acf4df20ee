// What the page is built with. `make web-offline` takes lib/offline/analyst.ts in its place, see next.config.ts.

export { server as analyst } from "@/lib/server";
