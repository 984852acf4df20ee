import type { Rect } from "@/lib/coverage";
import { HEAT } from "@/lib/heat";
import { inkOf, NO_PICTURE, type Picture, type Renderer, type Scene, type View } from "@/lib/renderer";
import { origin } from "@/lib/viewport";

const VIEWS: Record<View, number> = { original: 0, overlay: 1, mask: 2, probability: 3, spread: 3 };
/** Of a picture that is drawn with WebGL. */
export const MOST_CLASSES = 8;
const NEAREST_FROM = 3; // device pixels for a pixel: from here on a photograph's pixels are shown as squares

// One triangle that covers the canvas.
const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

// The maps are an integer texture, a layer for each class: their bytes arrive as they are, and are compared as integers.
// Where a pixel of the canvas covers several of a map, the share of vessel among them is drawn: thin vessels fade and do not
// break up.
const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
uniform highp sampler2D photograph;
uniform highp usampler2DArray maps;
uniform vec2 origin;  // the image's point at the canvas's upper left corner
uniform vec2 canvas;  // its size, device pixels
uniform vec2 image;   // its size, pixels
uniform float pixel;  // pixels of the image for a device pixel
uniform uint cuts[${MOST_CLASSES}];
uniform vec3 colours[${MOST_CLASSES}];
uniform bool shown[${MOST_CLASSES}];
uniform int classes;
uniform bool exclusive; // a sample belongs to one class at most: the most probable, of equals the first
uniform float opacity;
uniform float wiper;
uniform int view;
uniform int samples;
uniform highp sampler2D heat; // the colour of each byte
out vec4 result;

// Of each class the samples below a pixel of the canvas that belong to it, as a share.
void coverage(vec2 corner, out float shares[${MOST_CLASSES}]) {
  int side = clamp(int(ceil(pixel)), 1, samples);
  float stride = pixel / float(side);
  ivec2 last = ivec2(image) - 1;
  int counts[${MOST_CLASSES}];
  for (int i = 0; i < ${MOST_CLASSES}; i++) counts[i] = 0;
  for (int y = 0; y < side; y++) {
    for (int x = 0; x < side; x++) {
      ivec2 at = clamp(ivec2(floor(corner + (vec2(x, y) + 0.5) * stride)), ivec2(0), last);
      int winner = -1;
      uint highest = 0u;
      for (int i = 0; i < classes; i++) {
        uint level = texelFetch(maps, ivec3(at, i), 0).r;
        if (level < cuts[i]) continue;
        if (!exclusive) counts[i]++;
        else if (winner < 0 || level > highest) {
          winner = i;
          highest = level;
        }
      }
      if (winner >= 0) counts[winner]++;
    }
  }
  for (int i = 0; i < ${MOST_CLASSES}; i++) shares[i] = float(counts[i]) / float(side * side);
}

// Of the samples below a pixel of the canvas the mean of the greatest byte of the classes that are shown.
vec3 heated(vec2 corner) {
  int side = clamp(int(ceil(pixel)), 1, samples);
  float stride = pixel / float(side);
  ivec2 last = ivec2(image) - 1;
  uint sum = 0u;
  for (int y = 0; y < side; y++) {
    for (int x = 0; x < side; x++) {
      ivec2 at = clamp(ivec2(floor(corner + (vec2(x, y) + 0.5) * stride)), ivec2(0), last);
      uint level = 0u;
      for (int i = 0; i < classes; i++) if (shown[i]) level = max(level, texelFetch(maps, ivec3(at, i), 0).r);
      sum += level;
    }
  }
  int mean = int(float(sum) / float(side * side) + 0.5);
  return texelFetch(heat, ivec2(mean, 0), 0).rgb;
}

void main() {
  vec2 device = vec2(gl_FragCoord.x, canvas.y - gl_FragCoord.y);
  vec2 at = origin + device * pixel;
  if (any(lessThan(at, vec2(0.0))) || any(greaterThanEqual(at, image))) {
    result = vec4(0.0);
    return;
  }
  bool plain = view == 0 || device.x < wiper * canvas.x;
  vec3 seen = view == 2 && !plain ? vec3(0.0) : textureGrad(photograph, at / image, vec2(pixel / image.x, 0.0), vec2(0.0, pixel / image.y)).rgb;
  if (!plain && view == 3) seen = heated(at - 0.5 * pixel);
  else if (!plain) {
    float shares[${MOST_CLASSES}];
    coverage(at - 0.5 * pixel, shares);
    for (int i = 0; i < classes; i++)
      if (shown[i]) seen = mix(seen, colours[i], shares[i] * opacity);
  }
  result = vec4(seen, 1.0);
}`;

const UNIFORMS = [
  "photograph",
  "maps",
  "origin",
  "canvas",
  "image",
  "pixel",
  "cuts",
  "colours",
  "shown",
  "classes",
  "exclusive",
  "opacity",
  "wiper",
  "view",
  "samples",
  "heat",
] as const;

type Uniforms = Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;

/** Draws with WebGL 2: a change of the threshold changes one number, the picture stays on the graphics card. */
export class GlRenderer implements Renderer {
  readonly name = "WebGL";
  private picture: Picture = NO_PICTURE;
  private scene: Scene | null = null;
  private readonly uniforms: Uniforms;
  private readonly textures: WebGLTexture[];

  private readonly gl: WebGL2RenderingContext;

  /** Throws where `largestTexture` is 0. */
  constructor(canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
    if (!gl) throw new Error("this browser has no WebGL 2");
    this.gl = gl;
    const program = link(gl);
    // biome-ignore lint/correctness/useHookAtTopLevel: WebGL's, not React's
    gl.useProgram(program);
    this.uniforms = Object.fromEntries(
      UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)]),
    ) as Uniforms;
    this.textures = [gl.createTexture(), gl.createTexture()];
    gl.uniform1i(this.uniforms.photograph, 0);
    gl.uniform1i(this.uniforms.maps, 1);
    gl.uniform1i(this.uniforms.heat, 2);
    setHeat(gl);
  }

  setPicture(picture: Picture): void {
    const { gl } = this;
    this.picture = picture;
    for (const texture of this.textures) gl.deleteTexture(texture);
    this.textures.splice(0, 2, gl.createTexture(), gl.createTexture());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.setPhotograph(picture.photograph);
    this.setMaps(picture);
  }

  change({ left, top, right, bottom }: Rect): void {
    const { gl, picture, scene } = this;
    gl.activeTexture(gl.TEXTURE1);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, picture.width);
    gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, left);
    gl.pixelStorei(gl.UNPACK_SKIP_ROWS, top);
    picture.maps.forEach(({ values }, number) => {
      const place = [0, left, top, number, right - left, bottom - top, 1] as const;
      gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, ...place, gl.RED_INTEGER, gl.UNSIGNED_BYTE, values);
    });
    for (const setting of [gl.UNPACK_ROW_LENGTH, gl.UNPACK_SKIP_PIXELS, gl.UNPACK_SKIP_ROWS])
      gl.pixelStorei(setting, 0);
    if (scene) this.draw(scene);
  }

  draw(scene: Scene): void {
    this.scene = scene;
    const { viewport, view, layers, exclusive, opacity, wiper, samples } = scene;
    const { gl, uniforms, picture } = this;
    const { width, height } = gl.canvas;
    const { scale } = viewport;
    const corner = origin(viewport, gl.canvas);
    gl.viewport(0, 0, width, height);
    gl.uniform2f(uniforms.origin, corner.x, corner.y);
    gl.uniform2f(uniforms.canvas, width, height);
    gl.uniform2f(uniforms.image, picture.width, picture.height);
    gl.uniform1f(uniforms.pixel, 1 / scale);
    gl.uniform1uiv(
      uniforms.cuts,
      layers.map((one) => one.cut),
    );
    gl.uniform3fv(
      uniforms.colours,
      layers.flatMap((one) => inkOf(scene, one).map((value) => value / 255)),
    );
    gl.uniform1iv(
      uniforms.shown,
      layers.map((one) => Number(one.shown)),
    );
    gl.uniform1i(uniforms.classes, Math.min(layers.length, picture.maps.length));
    gl.uniform1i(uniforms.exclusive, Number(exclusive));
    gl.uniform1f(uniforms.opacity, view === "mask" ? 1 : opacity);
    gl.uniform1f(uniforms.wiper, wiper);
    gl.uniform1i(uniforms.view, VIEWS[picture.maps.length ? view : "original"]);
    gl.uniform1i(uniforms.samples, samples);
    gl.activeTexture(gl.TEXTURE0);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, scale >= NEAREST_FROM ? gl.NEAREST : gl.LINEAR);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  close(): void {
    for (const texture of this.textures) this.gl.deleteTexture(texture);
  }

  private setPhotograph(photograph: ImageBitmap | null): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[0]!);
    if (photograph) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, photograph);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    clampEdges(gl, gl.TEXTURE_2D);
  }

  private setMaps({ maps, ...size }: Picture): void {
    const { gl } = this;
    const { width, height } = maps.length ? size : { width: 1, height: 1 };
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.textures[1]!);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.R8UI, width, height, Math.max(1, maps.length));
    maps.forEach(({ values }, number) => {
      const place = [0, 0, 0, number, width, height, 1] as const;
      gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, ...place, gl.RED_INTEGER, gl.UNSIGNED_BYTE, values);
    });
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    clampEdges(gl, gl.TEXTURE_2D_ARRAY);
  }
}

function setHeat(gl: WebGL2RenderingContext): void {
  gl.activeTexture(gl.TEXTURE2);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  const colours = Uint8Array.from(HEAT.flatMap((colour) => [...colour, 255]));
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, HEAT.length, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colours);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}

function clampEdges(gl: WebGL2RenderingContext, target: GLenum): void {
  gl.texParameteri(target, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(target, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`the shader does not link: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}

// What browsers draw WebGL with where there is no graphics card.
const SOFTWARE = /SwiftShader|llvmpipe|softpipe|Basic Render|Software/i;

let largest: number | undefined;

/**
 * The longest side of a texture, pixels; 0 where the browser has no WebGL 2, or only one that the processor computes: that
 * takes seconds for a frame, and a canvas that is drawn with care takes milliseconds.
 */
export function largestTexture(): number {
  if (largest === undefined) {
    const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
    const names = gl?.getExtension("WEBGL_debug_renderer_info");
    const software = names && SOFTWARE.test(String(gl?.getParameter(names.UNMASKED_RENDERER_WEBGL)));
    largest = gl && !software ? (gl.getParameter(gl.MAX_TEXTURE_SIZE) as number) : 0;
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return largest;
}
