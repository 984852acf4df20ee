/** What is said of files for all photographs, and of keeping photographs in the browser, in all languages. */

interface Kind {
  readonly name: string;
  readonly kind: string;
}

export interface Keeping {
  readonly measured: Kind;
  readonly pdf: Kind;
  readonly measuring: string;
  readonly drawing: string;
  readonly measuredSaved: (measured: string) => string;
  readonly pdfSaved: (pages: number) => string;
  readonly cancel: string;
  readonly cancelled: string;
  readonly quality: string;
  readonly verdict: Readonly<Record<"good" | "usable" | "reject", string>>;
  readonly measurements: string;
  /** On every screen, in one sentence. */
  readonly off: string;
  readonly on: string;
  readonly change: string;
  readonly title: string;
  readonly rule: string;
  readonly others: string;
  readonly keep: string;
  readonly forget: string;
  readonly forgetRule: string;
  readonly full: (names: string) => string;
  readonly forbidden: string;
  readonly unreadable: string;
}

const en: Keeping = {
  measured: { name: "Table with measurements", kind: "CSV: length, calibre, tortuosity, branching" },
  pdf: { name: "Report", kind: "PDF: a page for each photograph" },
  measuring: "Measuring",
  drawing: "Drawing pages",
  measuredSaved: (measured) => `Table saved. Measured: ${measured}.`,
  pdfSaved: (pages) => `PDF saved. Pages: ${pages}.`,
  cancel: "Cancel",
  cancelled: "Cancelled. Nothing was saved.",
  quality: "Quality",
  verdict: { good: "good", usable: "usable", reject: "reject" },
  measurements: "Measurements",
  off: "Nothing is kept when this tab is closed.",
  on: "Photographs are kept in this browser.",
  change: "Change",
  title: "Keep photographs in this browser",
  rule: "Photographs, vessel maps, thresholds, corrections and their order stay on this device, and are there again when the page is loaded. Nothing else is kept, and nothing is sent anywhere.",
  others: "Whoever uses this browser can see them.",
  keep: "Keep photographs",
  forget: "Forget everything",
  forgetRule: "Removes what is kept, and all photographs on this page. It can’t be undone.",
  full: (names) => `There is no room left in this browser. Not kept: ${names}`,
  forbidden: "This browser does not allow the page to keep anything.",
  unreadable: "What was kept can’t be read.",
};

const de: Keeping = {
  measured: { name: "Tabelle mit Messwerten", kind: "CSV: Länge, Kaliber, Tortuosität, Verzweigungen" },
  pdf: { name: "Bericht", kind: "PDF: eine Seite je Foto" },
  measuring: "Messen",
  drawing: "Seiten zeichnen",
  measuredSaved: (measured) => `Tabelle gespeichert. Gemessen: ${measured}.`,
  pdfSaved: (pages) => `PDF gespeichert. Seiten: ${pages}.`,
  cancel: "Abbrechen",
  cancelled: "Abgebrochen. Nichts wurde gespeichert.",
  quality: "Qualität",
  verdict: { good: "gut", usable: "brauchbar", reject: "unbrauchbar" },
  measurements: "Messwerte",
  off: "Nichts bleibt gespeichert, wenn dieser Tab geschlossen wird.",
  on: "Die Fotos bleiben in diesem Browser gespeichert.",
  change: "Ändern",
  title: "Fotos in diesem Browser behalten",
  rule: "Fotos, Gefäßkarten, Schwellen, Korrekturen und ihre Reihenfolge bleiben auf diesem Gerät und sind nach dem Laden der Seite wieder da. Sonst wird nichts behalten und nichts irgendwohin gesendet.",
  others: "Wer diesen Browser benutzt, kann sie sehen.",
  keep: "Fotos behalten",
  forget: "Alles vergessen",
  forgetRule: "Löscht das Gespeicherte und alle Fotos auf dieser Seite. Das lässt sich nicht rückgängig machen.",
  full: (names) => `In diesem Browser ist kein Platz mehr. Nicht behalten: ${names}`,
  forbidden: "Dieser Browser erlaubt der Seite nicht, etwas zu behalten.",
  unreadable: "Das Gespeicherte lässt sich nicht lesen.",
};

const es: Keeping = {
  measured: { name: "Tabla con mediciones", kind: "CSV: longitud, calibre, tortuosidad, ramificaciones" },
  pdf: { name: "Informe", kind: "PDF: una página por fotografía" },
  measuring: "Midiendo",
  drawing: "Dibujando páginas",
  measuredSaved: (measured) => `Tabla guardada. Medidas: ${measured}.`,
  pdfSaved: (pages) => `PDF guardado. Páginas: ${pages}.`,
  cancel: "Cancelar",
  cancelled: "Cancelado. No se ha guardado nada.",
  quality: "Calidad",
  verdict: { good: "buena", usable: "aceptable", reject: "insuficiente" },
  measurements: "Mediciones",
  off: "No se conserva nada al cerrar esta pestaña.",
  on: "Las fotografías se conservan en este navegador.",
  change: "Cambiar",
  title: "Conservar las fotografías en este navegador",
  rule: "Las fotografías, los mapas de vasos, los umbrales, las correcciones y su orden quedan en este dispositivo y vuelven a estar al cargar la página. No se conserva nada más y no se envía nada a ningún sitio.",
  others: "Quien use este navegador puede verlas.",
  keep: "Conservar las fotografías",
  forget: "Olvidar todo",
  forgetRule: "Borra lo conservado y todas las fotografías de esta página. No se puede deshacer.",
  full: (names) => `No queda espacio en este navegador. No se conservan: ${names}`,
  forbidden: "Este navegador no permite que la página conserve nada.",
  unreadable: "No se puede leer lo que se conservó.",
};

const zh: Keeping = {
  measured: { name: "含测量值的表格", kind: "CSV：长度、管径、迂曲度、分支" },
  pdf: { name: "报告", kind: "PDF：每张照片一页" },
  measuring: "正在测量",
  drawing: "正在绘制页面",
  measuredSaved: (measured) => `表格已保存。已测量：${measured}。`,
  pdfSaved: (pages) => `PDF 已保存。页数：${pages}。`,
  cancel: "取消",
  cancelled: "已取消，未保存任何内容。",
  quality: "质量",
  verdict: { good: "良好", usable: "可用", reject: "不可用" },
  measurements: "测量值",
  off: "关闭此标签页后不会保留任何内容。",
  on: "照片保留在此浏览器中。",
  change: "更改",
  title: "在此浏览器中保留照片",
  rule: "照片、血管图、阈值、修正及其顺序保留在此设备上，重新载入页面后仍在。不保留其他内容，也不向任何地方发送。",
  others: "使用此浏览器的任何人都能看到它们。",
  keep: "保留照片",
  forget: "全部清除",
  forgetRule: "删除已保留的内容和本页上的所有照片，无法撤销。",
  full: (names) => `此浏览器已没有空间。未保留：${names}`,
  forbidden: "此浏览器不允许页面保留任何内容。",
  unreadable: "无法读取已保留的内容。",
};

const ar: Keeping = {
  measured: { name: "جدول مع القياسات", kind: "CSV: الطول والقُطر والتعرّج والتفرّعات" },
  pdf: { name: "تقرير", kind: "PDF: صفحة لكل صورة" },
  measuring: "جارٍ القياس",
  drawing: "جارٍ رسم الصفحات",
  measuredSaved: (measured) => `حُفظ الجدول. تم قياس: ${measured}.`,
  pdfSaved: (pages) => `حُفظ ملف PDF. الصفحات: ${pages}.`,
  cancel: "إلغاء",
  cancelled: "أُلغي الأمر ولم يُحفظ شيء.",
  quality: "الجودة",
  verdict: { good: "جيدة", usable: "مقبولة", reject: "غير صالحة" },
  measurements: "القياسات",
  off: "لا يُحتفظ بشيء عند إغلاق هذه النافذة.",
  on: "يُحتفظ بالصور في هذا المتصفح.",
  change: "تغيير",
  title: "الاحتفاظ بالصور في هذا المتصفح",
  rule: "تبقى الصور وخرائط الأوعية والعتبات والتصحيحات وترتيبها على هذا الجهاز، وتعود عند تحميل الصفحة. لا يُحتفظ بغير ذلك، ولا يُرسل شيء إلى أي مكان.",
  others: "يمكن لكل من يستخدم هذا المتصفح أن يراها.",
  keep: "الاحتفاظ بالصور",
  forget: "نسيان كل شيء",
  forgetRule: "يحذف ما احتُفظ به وكل الصور في هذه الصفحة. لا يمكن التراجع عن ذلك.",
  full: (names) => `لم تبقَ مساحة في هذا المتصفح. لم يُحتفظ بـ: ${names}`,
  forbidden: "لا يسمح هذا المتصفح للصفحة بالاحتفاظ بأي شيء.",
  unreadable: "تتعذّر قراءة ما احتُفظ به.",
};

export const KEEPING = { en, de, es, zh, ar };
