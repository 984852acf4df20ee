import type { CorrectWords } from "./en";

/** A name, or figures in their order, within a sentence that runs the other way (Unicode: FSI, LRI, PDI). */
const isolated = (text: string) => `\u2068${text}\u2069`;
const ltr = (text: string) => `\u2066${text}\u2069`;

export const correct = (number: (value: number) => string): CorrectWords => ({
  title: "التصحيح",
  start: "تصحيح القناع",
  end: "تم",
  endKey: `تم (${ltr("Escape")})`,
  tools: { brush: "فرشاة", eraser: "ممحاة", fill: "ملء فجوة" },
  toolKey: (tool, key) => `${tool} (${ltr(key)})`,
  bar: "أدوات التصحيح",
  size: "الحجم",
  pixels: (count) => `${number(count)} بكسل`,
  of: "الفئة",
  pressure: "ضغط القلم يحدد الحجم",
  least: "أصغر من",
  leastUnit: "بكسل",
  specks: "إزالة البقع",
  holes: "ملء الثقوب",
  undo: "تراجع",
  redo: "إعادة",
  discard: "إلغاء التصحيح",
  corrected: "صُحِّح يدويًا",
  said: {
    down: "الفرشاة على الصورة. مفاتيح الأسهم ترسم ومفتاح المسافة يرفعها.",
    lifted: "رُفعت الفرشاة",
    undone: "تم التراجع",
    redone: "تمت الإعادة",
    specks: (count) => `عدد وحدات البكسل المُزالة: ${number(count)}`,
    holes: (count) => `عدد وحدات البكسل المملوءة: ${number(count)}`,
    open: "لم يُملأ شيء: هذا الموضع غير مغلق من كل الجهات، أو هو وعاء بالفعل.",
    discarded: "أُلغي التصحيح. يمكن استعادته بالتراجع.",
    loaded: (file) => `تمت قراءة ${isolated(file)} بوصفه تصحيحًا لصورته.`,
  },
  misfit: {
    alone: (file) => `${isolated(file)}: لا توجد صورة بهذا الاسم. أضف الصورة أيضًا.`,
    refused: (file, why) => `${isolated(file)} ليس تصحيحًا لصورته: ${why}`,
    png: `ليس ملف ${ltr("PNG")} رماديًا من 8 بت.`,
    size: (width, height, wide, high) =>
      `أبعاده ${ltr(`${width} × ${height}`)} بكسل، وأبعاد الصورة ${ltr(`${wide} × ${high}`)}.`,
    values: "فيه قيم غير قيم القناع.",
    geojson: `ليس ملف ${ltr("GeoJSON")} من مضلعات.`,
    outside: (width, height) => `يتجاوز حدود الصورة ${ltr(`${width} × ${height}`)} بكسل.`,
    classes: "لا يحتوي على أي من فئات النموذج.",
    unread: "تعذرت قراءته.",
  },
  dismiss: "إغلاق",
});
