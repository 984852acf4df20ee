/** In the page before it has photographs: the sample, enlarged to 12 megapixels, as the bytes of a JPEG. */
export async function enlarged() {
  const address = document.querySelector("main img").src;
  const sample = await createImageBitmap(await (await fetch(address)).blob());
  const canvas = new OffscreenCanvas(4000, 3000);
  const context = canvas.getContext("2d");
  context.drawImage(sample, 500, 0, 3000, 3000);
  const file = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
  return [...new Uint8Array(await file.arrayBuffer())];
}
