import type { Grey } from "@/lib/png";

/** What the build has read in a model file: its manifest, as far as it is needed here. */
export interface Manifest {
  /** Beside this. */
  readonly file: string;
  readonly name: string;
  readonly version: string;
  readonly precision: string;
  readonly threshold: number;
  readonly preparation: { readonly field_of_view: readonly [number, number] };
  readonly tile: { readonly multiple: number };
}

/** A model that is loaded. */
export interface Network {
  readonly manifest: Manifest;
  /** "cpu" or "webgpu", and by how many threads. */
  readonly device: string;
  /** The probability of vessel of a window, as bytes. */
  readonly infer: (window: Grey) => Promise<Grey>;
}

/** What is used of onnxruntime-web, which the build lays beside the page as it is: the page's own bundle has none of it. */
interface OnnxRuntime {
  readonly env: { readonly wasm: { numThreads: number; wasmPaths: string }; logLevel: string };
  readonly Tensor: new (kind: "uint8", data: Uint8Array, shape: readonly number[]) => unknown;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

interface Session {
  run(given: { image: unknown }): Promise<{ probability: { getData(): Promise<Float32Array>; dispose(): void } }>;
}

const MOST_THREADS = 8;

type Provider = "webgpu" | "wasm";

/** Loads the model from the folder at `base`: onto the graphics card if the browser offers one, else the processor. */
export async function loadNetwork(base: URL): Promise<Network> {
  const models = (await (await fetched(new URL("models.json", base))).json()) as Record<Provider, Manifest>;
  if (await hasGraphicsCard()) {
    try {
      return await started(base, models.webgpu, "webgpu");
    } catch (error) {
      console.warn("The graphics card can't run the model, the processor does:", error); // `device` tells it too
    }
  }
  return started(base, models.wasm, "wasm");
}

async function started(base: URL, manifest: Manifest, provider: Provider): Promise<Network> {
  const model = new Uint8Array(await (await fetched(new URL(manifest.file, base))).arrayBuffer());
  const folder = new URL("onnxruntime/", base).href;
  const runtime = (await import(/* @vite-ignore */ `${folder}ort.${provider}.min.mjs`)) as OnnxRuntime;
  // Browsers give several threads to isolated pages alone, see docs/offline.md.
  const threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  Object.assign(runtime.env.wasm, { numThreads: threads, wasmPaths: folder });
  runtime.env.logLevel = "error";
  const session = await runtime.InferenceSession.create(model, { executionProviders: [provider] });
  const infer = async ({ width, height, values }: Grey) => {
    const image = new runtime.Tensor("uint8", values, [1, 1, height, width]);
    const { probability } = await session.run({ image });
    const found = await probability.getData();
    const bytes = Uint8Array.from(found, (value) => Math.round(value * 255));
    probability.dispose();
    return { width, height, values: bytes };
  };
  const { multiple } = manifest.tile;
  await infer({ width: multiple, height: multiple, values: new Uint8Array(multiple ** 2) }); // fails now or never
  return { manifest, device: provider === "wasm" ? `cpu, ${threads} × WebAssembly` : "webgpu", infer };
}

async function fetched(address: URL): Promise<Response> {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} has status ${answer.status}: the folder of the page is not whole.`);
  return answer;
}

interface GraphicsCards {
  requestAdapter(): Promise<{ readonly info: { readonly isFallbackAdapter?: boolean } } | null>;
}

/** Whether there is one that is not made up by the processor, which is slower than WebAssembly. */
async function hasGraphicsCard(): Promise<boolean> {
  const { gpu } = navigator as { readonly gpu?: GraphicsCards };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !adapter.info.isFallbackAdapter);
}
