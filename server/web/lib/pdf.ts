/** A page of a PDF file: one picture that fills it. */
export interface PdfPage {
  readonly jpeg: Blob;
  /** Pixels of the picture. */
  readonly width: number;
  readonly height: number;
  /** Of the page in the file's table of contents. */
  readonly title: string;
  /** What the picture says, for readers that read aloud. */
  readonly text: string;
}

const A4 = [595.28, 841.89] as const; // points
const FIXED = 6; // objects that are not of a page: catalogue, pages, contents, structure, its tree, facts
const OF_PAGE = 5; // objects of a page: itself, what is drawn, the picture, its line of the contents, its text

/**
 * Pages of A4 as a PDF file (ISO 32000-1, 1.7), tagged, with a table of contents. Its pages are pictures, so that names in any
 * script look as they do on the screen, without a font of each in the file; their words are in the contents and the tags. The
 * pictures are parts of the blob: nothing is copied.
 */
export function pdfOf(pages: readonly PdfPage[], title: string, language: string): Blob {
  const objects = [
    `<</Type/Catalog/Pages 2 0 R/Outlines 3 0 R/PageMode/UseOutlines/StructTreeRoot 4 0 R/MarkInfo<</Marked true>>` +
      `/ViewerPreferences<</DisplayDocTitle true>>/Lang${textOf(language)}>>`,
    `<</Type/Pages/Count ${pages.length}/Kids[${references(pages, 0)}]>>`,
    `<</Type/Outlines/Count ${pages.length}/First ${objectOf(0, 3)} 0 R/Last ${objectOf(pages.length - 1, 3)} 0 R>>`,
    `<</Type/StructTreeRoot/K[${references(pages, 4)}]/ParentTree 5 0 R>>`,
    `<</Nums[${pages.map((_, number) => `${number}[${objectOf(number, 4)} 0 R]`).join(" ")}]>>`,
    `<</Title${textOf(title)}/Producer(vesselrt)>>`,
  ].map((body): BlobPart[] => [body]);
  for (const [number, page] of pages.entries()) objects.push(...objectsOf(page, number, pages.length));
  return fileOf(objects);
}

/** The number of an object of a page. */
function objectOf(page: number, which: number): number {
  return FIXED + 1 + OF_PAGE * page + which;
}

function references(pages: readonly PdfPage[], which: number): string {
  return pages.map((_, number) => `${objectOf(number, which)} 0 R`).join(" ");
}

function objectsOf({ jpeg, width, height, title, text }: PdfPage, page: number, pages: number): BlobPart[][] {
  const [own, content, picture, line] = [0, 1, 2, 3].map((which) => objectOf(page, which));
  const drawn = `/Figure<</MCID 0>>BDC q ${A4[0]} 0 0 ${A4[1]} 0 0 cm/P Do Q EMC`;
  const image = `<</Type/XObject/Subtype/Image/Width ${width}/Height ${height}/ColorSpace/DeviceRGB/BitsPerComponent 8`;
  return [
    [
      `<</Type/Page/Parent 2 0 R/MediaBox[0 0 ${A4.join(" ")}]/Contents ${content} 0 R/StructParents ${page}` +
        `/Resources<</XObject<</P ${picture} 0 R>>>>>>`,
    ],
    [`<</Length ${drawn.length}>>stream\n${drawn}\nendstream`],
    [`${image}/Filter/DCTDecode/Length ${jpeg.size}>>stream\n`, jpeg, "\nendstream"],
    [
      `<</Title${textOf(title)}/Parent 3 0 R/Dest[${own} 0 R/Fit]` +
        (page > 0 ? `/Prev ${line! - OF_PAGE} 0 R` : "") +
        (page < pages - 1 ? `/Next ${line! + OF_PAGE} 0 R>>` : ">>"),
    ],
    [`<</Type/StructElem/S/Figure/P 4 0 R/Pg ${own} 0 R/K 0/Alt${textOf(text)}>>`],
  ];
}

/** Any text, as UTF-16. */
function textOf(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at).toString(16).padStart(4, "0"));
  return `<feff${units.join("")}>`;
}

/** The file of objects, which are numbered from 1. Their texts are ASCII: a letter is a byte. */
function fileOf(objects: readonly (readonly BlobPart[])[]): Blob {
  const parts: BlobPart[] = ["%PDF-1.7\n"];
  const places: number[] = [];
  let place = 9;
  const put = (part: BlobPart) => {
    parts.push(part);
    place += typeof part === "string" ? part.length : (part as Blob).size;
  };
  for (const [index, object] of objects.entries()) {
    places.push(place);
    put(`${index + 1} 0 obj\n`);
    object.forEach(put);
    put("\nendobj\n");
  }
  const table = places.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  const size = objects.length + 1;
  const trailer = `trailer\n<</Size ${size}/Root 1 0 R/Info 6 0 R>>\nstartxref\n${place}\n%%EOF\n`;
  parts.push(`xref\n0 ${size}\n0000000000 65535 f \n${table}${trailer}`);
  return new Blob(parts, { type: "application/pdf" });
}
