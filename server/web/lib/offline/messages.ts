// What lib/messages has, for a page without a server: where it would speak of the server, it says what is so here.

import type { Language } from "@/lib/languages";

import type { Messages } from "../messages";
import { CATALOGUES as WITH_SERVER } from "../messages";

export type * from "../messages";

interface Own {
  readonly formats: string;
  readonly density: string;
  readonly times: (total: string, analysis: string) => string;
  readonly missing: (names: string) => string;
  readonly details: string;
  readonly loading: string;
  readonly failed: { readonly title: string; readonly advice: string };
}

const en: Own = {
  formats: "JPEG, PNG, WebP, AVIF, BMP or GIF. Photographs stay on this device: the model runs in this browser.",
  density:
    "The density is the share of the field of view that is vessel; the page finds the field by the photograph’s dark surround.",
  times: (total, analysis) => `${total}, ${analysis} of it for the analysis`,
  missing: (names) => `No file could be made of ${names}.`,
  details: "Details",
  loading: "The model is being loaded.",
  failed: {
    title: "The photograph could not be analysed",
    advice: "Try again. If it fails again, load the page again: this device may have too little memory.",
  },
};

const de: Own = {
  formats:
    "JPEG, PNG, WebP, AVIF, BMP oder GIF. Aufnahmen bleiben auf diesem Gerät: Das Modell läuft in diesem Browser.",
  density:
    "Die Dichte ist der Anteil der Gefäße am Bildfeld; die Seite erkennt das Bildfeld am dunklen Rand der Aufnahme.",
  times: (total, analysis) => `${total}, davon ${analysis} für die Auswertung`,
  missing: (names) => `Keine Datei möglich für ${names}.`,
  details: "Einzelheiten",
  loading: "Das Modell wird geladen.",
  failed: {
    title: "Die Aufnahme konnte nicht ausgewertet werden",
    advice:
      "Versuchen Sie es erneut. Tritt der Fehler wieder auf, laden Sie die Seite neu: Vielleicht hat dieses Gerät zu wenig Speicher.",
  },
};

const es: Own = {
  formats:
    "JPEG, PNG, WebP, AVIF, BMP o GIF. Las imágenes no salen de este dispositivo: el modelo funciona en este navegador.",
  density:
    "La densidad es la parte del campo fotografiado que es vaso; la página reconoce el campo por el borde oscuro de la imagen.",
  times: (total, analysis) => `${total}, de ellos ${analysis} para el análisis`,
  missing: (names) => `No se pudo crear ningún archivo de ${names}.`,
  details: "Detalles",
  loading: "El modelo se está cargando.",
  failed: {
    title: "No se pudo analizar la imagen",
    advice:
      "Vuelva a intentarlo. Si vuelve a fallar, cargue la página de nuevo: puede que este dispositivo tenga poca memoria.",
  },
};

const zh: Own = {
  formats: "JPEG、PNG、WebP、AVIF、BMP 或 GIF。照片不会离开本设备：模型在此浏览器中运行。",
  density: "密度是血管在成像区域中所占的比例；页面根据照片的黑色边缘识别成像区域。",
  times: (total, analysis) => `${total}，其中分析 ${analysis}`,
  missing: (names) => `未能生成：${names}。`,
  details: "详细信息",
  loading: "正在加载模型。",
  failed: { title: "无法分析此照片", advice: "请重试。如果再次失败，请重新载入页面：本设备的内存可能不足。" },
};

const ar: Own = {
  formats:
    "\u2066JPEG, PNG, WebP, AVIF, BMP\u2069 أو \u2066GIF\u2069. تبقى الصور على هذا الجهاز: يعمل النموذج في هذا المتصفح.",
  density: "الكثافة هي نسبة الأوعية من منطقة التصوير؛ وتتعرّف الصفحة على هذه المنطقة من الحافة الداكنة للصورة.",
  times: (total, analysis) => `${total}، منها ${analysis} للتحليل`,
  missing: (names) => `تعذّر إنشاء ملف لـ \u2068${names}\u2069.`,
  details: "التفاصيل",
  loading: "جارٍ تحميل النموذج.",
  failed: {
    title: "تعذّر تحليل الصورة",
    advice: "أعد المحاولة. إذا تكرر الخطأ فأعد تحميل الصفحة: قد لا تكفي ذاكرة هذا الجهاز.",
  },
};

export const CATALOGUES: typeof WITH_SERVER = {
  en: withoutServer("en", en),
  de: withoutServer("de", de),
  es: withoutServer("es", es),
  zh: withoutServer("zh", zh),
  ar: withoutServer("ar", ar),
};

function withoutServer(language: Language, own: Own): Messages {
  const words = WITH_SERVER[language];
  return {
    ...words,
    invitation: { ...words.invitation, formats: own.formats },
    saveAll: { ...words.saveAll, missing: own.missing },
    notice: { ...words.notice, serverSaid: own.details, gettingReady: own.loading },
    facts: {
      ...words.facts,
      times: (total: number, analysis: number) => own.times(words.duration(total), words.duration(analysis)),
    },
    help: { ...words.help, density: own.density },
    trouble: { ...words.trouble, InternalError: own.failed, Unknown: own.failed },
  };
}
