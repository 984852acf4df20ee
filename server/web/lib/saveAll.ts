import { analyst } from "@/lib/analyst";
import { type Format, queryOf, whichOf, whichQuery } from "@/lib/api";
import { predictCorrected } from "@/lib/corrected";
import { crcOfFile } from "@/lib/crc";
import { ApiError } from "@/lib/errors";
import { nameOf } from "@/lib/frames";
import { layersOf, type Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";
import { type ZipEntry, zipEntries, zipOf } from "@/lib/zip";

// What one request holds: what proxies and servers let pass as it is for one large photograph.
const MOST_FILES = 16;
const MOST_BYTES = 32 * 2 ** 20;
const MOST_ZIP_BYTES = 2 ** 31; // of one file to save

export interface Saved {
  /** More than one where one would be too large. */
  readonly zips: readonly Blob[];
  /** How many photographs have files in them. */
  readonly count: number;
  /** The names of photographs of which the server made no file. */
  readonly failed: readonly string[];
}

/**
 * The files of a format of all photographs that have a result, each at its thresholds, as the server writes them. Few requests
 * are made, of several photographs each; one for each that a person has corrected. `onDone` is called with how many are there.
 * Rejects with ApiError, or the signal's reason.
 */
export async function filesOfAll(
  photographs: readonly Photograph[],
  format: Format,
  settings: Settings,
  onDone: (count: number) => void,
  signal?: AbortSignal,
): Promise<Saved> {
  const done = photographs.filter(({ progress }) => progress.step === "done");
  const found = await fileOfEach(done, format, settings, onDone, { signal });
  return savedOf(
    done.flatMap(({ id }) => found.get(id) ?? []),
    done,
    ({ id }) => found.has(id),
  );
}

/** Files to save, with names that no file system takes for one, and what is missing among those that were asked for. */
export function savedOf(
  entries: readonly ZipEntry[],
  asked: readonly Photograph[],
  isThere: (one: Photograph) => boolean,
): Saved {
  const missing = asked.filter((one) => !isThere(one));
  return {
    zips: portions(distinct(entries)).map((some) => zipOf(some)),
    count: asked.length - missing.length,
    failed: missing.map(nameOf),
  };
}

interface EachOptions {
  /** The class that is in the files; left out: all that are shown. */
  readonly only?: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** The file of each photograph that has a result, by its number. Rejects as `filesOfAll` does. */
export async function fileOfEach(
  photographs: readonly Photograph[],
  format: Format,
  settings: Settings,
  onDone: (count: number) => void,
  { only, signal }: EachOptions,
): Promise<ReadonlyMap<number, ZipEntry>> {
  const found = new Map<number, ZipEntry>();
  const [corrected, plain] = [true, false].map((some) =>
    photographs.filter((one) => (one.corrected?.some ?? false) === some),
  ) as [Photograph[], Photograph[]];
  let count = 0;
  for (const photograph of corrected) {
    const made = await correctedFile(photograph, format, settings, { only, signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      // What the server refuses is missing; where it can't be reached the others would be missing too.
      if (error instanceof ApiError && error.type === "Unreachable") throw error;
      return null;
    });
    if (made) found.set(photograph.id, made);
    onDone(++count);
  }
  for (const { query, members } of requestsFor(plain, settings, only)) {
    const zip = await analyst.predictBatch(
      members.map(({ file }) => file),
      { format, ...query },
      signal,
    );
    for (const entry of await zipEntries(zip)) {
      const [, number, name] = /^(\d+)-(.*)$/s.exec(entry.name)!;
      const photograph = members[Number(number)];
      // Beside the files there are warnings, which the page shows, and errors.
      if (photograph && !name!.endsWith(".json")) found.set(photograph.id, { ...entry, name: name! });
    }
    count += members.length;
    onDone(count);
  }
  return found;
}

async function correctedFile(
  photograph: Photograph,
  format: Format,
  settings: Settings,
  { only, signal }: EachOptions,
): Promise<ZipEntry | null> {
  const { file, progress, thresholds, corrected } = photograph;
  if (progress.step !== "done") return null;
  const look = { layers: layersOf(progress.result, thresholds, settings), opacity: settings.opacity };
  const options = { signal, ...whichOf(photograph), ...(only !== undefined && { only }) };
  const made = await predictCorrected(file, format, look, corrected, options);
  return { name: made.name, crc: await crcOfFile(made.file), content: made.file };
}

interface BatchRequest {
  readonly query: Record<string, string>;
  readonly members: Photograph[];
}

/** Photographs of the same model, thresholds and place in their files go together, as many as one request may hold. */
export function requestsFor(photographs: readonly Photograph[], settings: Settings, only?: string): BatchRequest[] {
  const open = new Map<string, BatchRequest & { bytes: number }>();
  const requests: BatchRequest[] = [];
  for (const photograph of photographs) {
    const { progress, thresholds, file } = photograph;
    if (progress.step !== "done") continue;
    const look = { layers: layersOf(progress.result, thresholds, settings), opacity: settings.opacity };
    const query = { ...queryOf(look, only), ...whichQuery(whichOf(photograph)) };
    const key = JSON.stringify(query);
    let request = open.get(key);
    if (!request || request.members.length === MOST_FILES || request.bytes + file.size > MOST_BYTES) {
      request = { query, members: [], bytes: 0 };
      open.set(key, request);
      requests.push(request);
    }
    request.members.push(photograph);
    request.bytes += file.size;
  }
  return requests;
}

/** The same with names that no file system takes for one: of photographs of one name the second becomes "name (2)". */
export function distinct(entries: readonly ZipEntry[]): ZipEntry[] {
  const taken = new Set<string>();
  return entries.map((entry) => {
    let { name } = entry;
    for (let number = 2; taken.has(name.toLowerCase()); number++)
      name = entry.name.replace(/(\.[^.]*)?$/, ` (${number})$1`);
    taken.add(name.toLowerCase());
    return { ...entry, name };
  });
}

function portions(entries: readonly ZipEntry[]): ZipEntry[][] {
  const all: ZipEntry[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    bytes += entry.content.size;
    if (bytes > MOST_ZIP_BYTES) {
      all.push([]);
      bytes = entry.content.size;
    }
    all.at(-1)!.push(entry);
  }
  return all;
}
