import type { Language } from "@/lib/languages";

/** What the server warns of, in each language, by the reasons that it has for its verdict on a photograph. */
export interface Doubts {
  readonly dark: string;
  readonly overexposed: string;
  readonly noisy: string;
  readonly compressed: string;
  readonly blurred: string;
  readonly cut: string;
  readonly noEdge: string;
  readonly notAFundus: string;
}

/** Word for word what the server says: by its sentence a warning is known. */
const en: Doubts = {
  dark: "The photograph is dark: vessels may be missing.",
  overexposed: "The photograph is overexposed: vessels may be missing where it is white.",
  noisy: "The photograph is noisy: thin vessels may be missing, and noise may be taken for vessels.",
  compressed: "The photograph was compressed too much: thin vessels may be missing.",
  blurred: "The photograph looks blurred: thin vessels may be missing.",
  cut: "A part of the field of view is cut off: figures of the whole field are those of what is left.",
  noEdge:
    "No edge of the field of view is seen, so the scale is a guess: the longer side is taken for the diameter. " +
    "Tell the scale if you know it.",
  notAFundus: "This does not look like a photograph of a retina: what was found may be no vessels.",
};

const de: Doubts = {
  dark: "Das Foto ist dunkel: Gefäße können fehlen.",
  overexposed: "Das Foto ist überbelichtet: Wo es weiß ist, können Gefäße fehlen.",
  noisy: "Das Foto rauscht: Dünne Gefäße können fehlen, und Rauschen kann für Gefäße gehalten werden.",
  compressed: "Das Foto wurde zu stark komprimiert: Dünne Gefäße können fehlen.",
  blurred: "Das Foto wirkt unscharf: Dünne Gefäße können fehlen.",
  cut: "Ein Teil des Bildfelds ist abgeschnitten: Angaben zum ganzen Bildfeld gelten für das, was übrig ist.",
  noEdge:
    "Der Rand des Bildfelds ist nicht zu sehen. Der Maßstab ist deshalb geschätzt: Die längere Seite gilt als " +
    "Durchmesser. Geben Sie den Maßstab an, wenn Sie ihn kennen.",
  notAFundus: "Das sieht nicht wie ein Foto der Netzhaut aus: Was gefunden wurde, sind vielleicht keine Gefäße.",
};

const es: Doubts = {
  dark: "La fotografía es oscura: pueden faltar vasos.",
  overexposed: "La fotografía está sobreexpuesta: pueden faltar vasos donde es blanca.",
  noisy: "La fotografía tiene ruido: pueden faltar vasos finos, y el ruido puede tomarse por vasos.",
  compressed: "La fotografía se comprimió demasiado: pueden faltar vasos finos.",
  blurred: "La fotografía parece borrosa: pueden faltar vasos finos.",
  cut: "Una parte del campo fotografiado está cortada: las cifras del campo entero son las de lo que queda.",
  noEdge:
    "No se ve el borde del campo fotografiado, así que la escala es una estimación: el lado más largo se toma como " +
    "diámetro. Indique la escala si la conoce.",
  notAFundus: "Esto no parece una fotografía de la retina: lo que se encontró quizá no sean vasos.",
};

const zh: Doubts = {
  dark: "照片偏暗，可能漏掉血管。",
  overexposed: "照片曝光过度，发白的部位可能漏掉血管。",
  noisy: "照片噪声较大，可能漏掉细小血管，也可能把噪声当作血管。",
  compressed: "照片压缩过度，可能漏掉细小血管。",
  blurred: "照片看起来模糊，可能漏掉细小血管。",
  cut: "成像区域有一部分被裁掉：整个成像区域的数值只反映剩余部分。",
  noEdge: "看不到成像区域的边缘，因此比例尺是估计的：以较长的一边作为直径。如果您知道比例尺，请输入。",
  notAFundus: "这看起来不像视网膜照片，找到的可能不是血管。",
};

const ar: Doubts = {
  dark: "الصورة مظلمة: قد تكون بعض الأوعية مفقودة.",
  overexposed: "الصورة زائدة التعريض: قد تكون بعض الأوعية مفقودة حيث تكون بيضاء.",
  noisy: "في الصورة تشويش: قد تكون الأوعية الدقيقة مفقودة، وقد يُحسب التشويش أوعيةً.",
  compressed: "ضُغطت الصورة أكثر من اللازم: قد تكون الأوعية الدقيقة مفقودة.",
  blurred: "تبدو الصورة ضبابية: قد تكون الأوعية الدقيقة مفقودة.",
  cut: "جزء من منطقة التصوير مقطوع: قيم المنطقة كلها هي قيم ما بقي منه.",
  noEdge: "لا تظهر حافة منطقة التصوير، لذلك فالمقياس تقديري: يُعدّ الضلع الأطول قطرًا. أدخِل المقياس إن كنت تعرفه.",
  notAFundus: "لا تبدو هذه صورة لشبكية العين: قد لا يكون ما عُثر عليه أوعية.",
};

export const DOUBTS: Readonly<Record<Language, Doubts>> = { en, de, es, zh, ar };

/** A text in a language: without one, in that of the page. */
export interface Told {
  readonly text: string;
  readonly lang?: "en" | undefined;
}

/** A warning of the server's in the page's words, where it is one that the page knows; the others stay in English. */
export function tellWarning(warning: string, doubts: Doubts): Told {
  const known = (Object.keys(en) as (keyof Doubts)[]).find((reason) => en[reason] === warning);
  return known ? { text: doubts[known] } : { text: warning, lang: "en" };
}
