import { crcOfFile } from "@/lib/crc";
import { fileOfEach, type Saved, savedOf } from "@/lib/saveAll";
import type { Settings } from "@/lib/settings";
import type { Photograph } from "@/lib/strip";
import type { ZipEntry } from "@/lib/zip";

export interface TrainingSet extends Saved {
  /** The names of files that hold several photographs: such a file can't be the image of one mask. */
  readonly several: readonly string[];
}

/**
 * A data set that `vesselrt train` takes as it is: `images/` with the photographs' files as they came, and `masks/` with a mask
 * of the same name for each, 255 for vessel and 0. Of several classes there is a folder of masks for each, and `dataset.json`
 * tells them. `onDone` is called with how many masks are there. Rejects with
 * ApiError, or the signal's reason.
 */
export async function trainingSetOf(
  photographs: readonly Photograph[],
  settings: Settings,
  onDone: (count: number) => void,
  signal: AbortSignal,
): Promise<TrainingSet> {
  const all = photographs.filter(({ progress }) => progress.step === "done");
  const several = all.filter(holdsSeveral);
  const done = all.filter((one) => !holdsSeveral(one));
  const classes = classesOf(done);
  const masks = new Map<string, ReadonlyMap<number, ZipEntry>>();
  for (const [number, name] of classes.entries()) {
    const tell = (count: number) => onDone(Math.floor((number * done.length + count) / classes.length));
    masks.set(name, await fileOfEach(done, "mask", settings, tell, { only: name || undefined, signal }));
  }
  const complete = done.filter(({ id }) => classes.every((name) => masks.get(name)?.has(id)));
  const stems = distinctStems(complete.map(({ file }) => stemOf(file.name)));
  const entries: ZipEntry[] = [];
  for (const [index, { id, file }] of complete.entries()) {
    const stem = stems[index]!;
    const suffix = file.name.slice(stemOf(file.name).length);
    entries.push({ name: `images/${stem}${suffix}`, crc: await crcOfFile(file), content: file });
    for (const name of classes) {
      const folder = name ? `masks/${folderOf(name)}` : "masks";
      entries.push({ ...masks.get(name)!.get(id)!, name: `${folder}/${stem}.png` });
    }
  }
  if (classes[0]) entries.push(await described(classes));
  return {
    ...savedOf(entries, done, (one) => complete.includes(one)),
    several: [...new Set(several.map(({ file }) => file.name))],
  };
}

function holdsSeveral({ frame }: Photograph): boolean {
  return (frame?.of ?? 1) > 1;
}

/** Their names; one without a name where the model tells none apart. */
function classesOf(photographs: readonly Photograph[]): readonly string[] {
  for (const { progress } of photographs)
    if (progress.step === "done" && progress.result.classes.length)
      return progress.result.classes.map(({ name }) => name);
  return [""];
}

/** What says where the masks of the classes are, see docs/data.md. */
async function described(classes: readonly string[]): Promise<ZipEntry> {
  const places = classes.map((name) => [name, { masks: `masks/${folderOf(name)}/{name}` }] as const);
  const content = new Blob([`${JSON.stringify({ classes: Object.fromEntries(places) }, null, 1)}\n`]);
  return { name: "dataset.json", crc: await crcOfFile(content), content };
}

function folderOf(name: string): string {
  return name.replace(/[<>:"/\\|?*{}\s]+/g, "_");
}

function stemOf(name: string): string {
  return name.replace(/\.[^.]*$/, "");
}

/** Names of which none is another one's, whatever their suffixes and letters: a mask has the name of its photograph. */
export function distinctStems(stems: readonly string[]): string[] {
  const taken = new Set<string>();
  return stems.map((own) => {
    let stem = own;
    for (let number = 2; taken.has(stem.toLowerCase()); number++) stem = `${own} (${number})`;
    taken.add(stem.toLowerCase());
    return stem;
  });
}
