import { correct } from "./correct/ar";
import { DOUBTS } from "./doubts";
import type { Messages } from "./en";
import { gauge } from "./gauge/ar";
import { grammarOf } from "./grammar";
import { KEEPING } from "./keeping";
import { MODELS } from "./models";

/** With the digits of file names, of units and of devices, which are read beside them. */
const { number, percent, duration, plural } = grammarOf<"zero" | "one" | "two" | "few" | "many" | "other">(
  "ar-u-nu-latn",
  { percent: "%", milliseconds: " ملّي ثانية", seconds: " ثانية" },
);

/** Text in Latin letters, or figures in their order, within a sentence that runs the other way (Unicode: LRI, PDI). */
const ltr = (text: string) => `\u2066${text}\u2069`;
/** A text of either direction within a sentence (Unicode: FSI, PDI). */
const isolated = (text: string) => `\u2068${text}\u2069`;

interface Noun {
  readonly one: string;
  readonly two: string;
  readonly few: string;
  readonly many: string;
  readonly other: string;
}

/** A count with its noun: one and two are told by the noun alone. */
function counted(count: number, { one, two, few, many, other }: Noun): string {
  return plural(count, {
    zero: `${count} ${other}`,
    one,
    two,
    few: `${count} ${few}`,
    many: `${count} ${many}`,
    other: `${count} ${other}`,
  });
}

const MASKS = { one: "قناع واحد", two: "قناعين", few: "أقنعة", many: "قناعًا", other: "قناع" };
const OVERLAYS = {
  one: "صورة مركّبة واحدة",
  two: "صورتين مركّبتين",
  few: "صور مركّبة",
  many: "صورة مركّبة",
  other: "صورة مركّبة",
};
const OUTLINES = {
  one: "ملف حدود واحد",
  two: "ملفَي حدود",
  few: "ملفات حدود",
  many: "ملف حدود",
  other: "ملف حدود",
};
const IMAGES = { one: "صورة واحدة", two: "صورتين", few: "صور", many: "صورة", other: "صورة" };

export const ar: Messages = {
  number,
  percent,
  duration,
  title: "vesselrt: الأوعية الدموية في صور قاع العين",
  place: (number, all) => `${number} من ${all}`,
  size: (width, height) => ltr(`${width} × ${height}`),
  tryAgain: "إعادة المحاولة",
  view: { overlay: "الأوعية", original: "الأصل", mask: "القناع", probability: "الاحتمال", spread: "التباين" },
  region: { "field of view": "من منطقة التصوير", image: "من الصورة" },
  notMedical: "ليس جهازًا طبيًا.",
  notForDiagnosis: "غير مخصص للتشخيص أو العلاج.",
  header: {
    all: "كل الصور",
    allKey: `كل الصور (${ltr("Esc")})`,
    add: "إضافة صور",
    help: "مساعدة",
    language: "اللغة",
  },
  invitation: {
    title: "الأوعية الدموية في صور قاع العين",
    mouse: "اسحب صور قاع العين إلى أي مكان في هذه الصفحة، أو ألصق صورة، أو اخترها من ملفاتك.",
    touch: "اختر صور قاع العين، أو التقط صورة.",
    choose: "اختيار صور",
    take: "التقاط صورة",
    formats: `${ltr("JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF")} أو ${ltr("DICOM")}. تُرسَل الصور إلى هذا الخادم فقط ولا تُحفَظ.`,
    sample: "عرض المثال",
    drop: "أفلت للإضافة",
  },
  state: { done: "تمّ", check: "للمراجعة", failed: "فشل", waiting: "في الانتظار", working: "قيد التحليل" },
  sending: (share) => `جارٍ الإرسال ${percent(share, 0)}`,
  photographs: "الصور",
  filmStrip: "شريط الصور",
  remove: (name) => `إزالة ${isolated(name)}`,
  worklist: {
    tally: (figures) => ["اكتمل ", figures],
    told: (done, all) => `اكتمل ${done} من ${all}`,
    attention: (count) => `${count} للمراجعة`,
    sort: "ترتيب حسب",
    by: { name: "الاسم", density: "الكثافة", state: "الحالة" },
  },
  saveAll: {
    title: "حفظ الكل",
    mask: { name: "الأقنعة", kind: "ملف ZIP من صور PNG" },
    overlay: { name: "الصور المركّبة", kind: "ملف ZIP من صور PNG" },
    geojson: { name: "حدود الأوعية", kind: "ملف ZIP من GeoJSON" },
    csv: { name: "جدول", kind: "ملف CSV: الكثافة والعتبة والنموذج والتنبيهات" },
    training: { name: "مجموعة تدريب", kind: "ملف ZIP من الصور والأقنعة، لأمر vesselrt train" },
    preparing: {
      training: "جارٍ تحضير الأقنعة",
      mask: "جارٍ تحضير الأقنعة",
      overlay: "جارٍ تحضير الصور المركّبة",
      geojson: "جارٍ تحضير حدود الأوعية",
    },
    saved: {
      mask: (count) => `تم حفظ ${counted(count, MASKS)}.`,
      overlay: (count) => `تم حفظ ${counted(count, OVERLAYS)}.`,
      geojson: (count) => `تم حفظ ${counted(count, OUTLINES)}.`,
      training: (count, corrected = 0) =>
        `تم حفظ مجموعة التدريب. عدد الصور: ${number(count)}، المصحَّح منها: ${number(corrected)}.`,
      csv: "تم حفظ الجدول.",
    },
    missing: (names) => `لم يُنشئ الخادم ملفًا لـ ${isolated(names)}.`,
    several: (names) => `لم تُدرج، لأن الملف الذي يضم عدة صور لا يصلح صورةً لقناع واحد: ${isolated(names)}.`,
  },
  doubts: DOUBTS.ar,
  keeping: KEEPING.ar,
  models: MODELS.ar,
  undo: {
    undo: "تراجع",
    dismiss: "إغلاق",
    forget: "التخلص نهائيًا مما أُزيل",
    removed: (name) => ["تمت إزالة ", name, "."],
    applied: (count) => `تم تغيير عتبة ${counted(count, IMAGES)}.`,
  },
  viewer: {
    label: { overlay: "الأوعية", original: "الأصل", mask: "القناع", probability: "الاحتمال", spread: "التباين" },
    heat: { probability: "احتمال وجود وعاء", spread: "مدى اختلاف النماذج (الانحراف المعياري)" },
    peek: "اضغط مطولًا: الأصل",
    zoom: "التكبير",
    zoomOut: "تصغير",
    zoomIn: "تكبير",
    fit: "ملاءمة (0) أو 100% (1)",
    wiper: "مقارنة: الأصل على اليسار",
    wiperAt: (share) => `${percent(share, 0)} من الأصل`,
  },
  notice: {
    unseen: "لا يستطيع هذا المتصفح عرض الملف، لذلك تظهر الأوعية وحدها.",
    found: "تم تحديد الأوعية.",
    waiting: "في انتظار الدور",
    sending: "جارٍ الإرسال",
    finding: "جارٍ تحديد الأوعية",
    serverSaid: "رسالة الخادم",
    key: "المفتاح",
    keyPattern: "أحرف وأرقام ورموز",
    enter: "متابعة",
    gettingReady: "الخادم قيد التجهيز.",
  },
  panel: {
    title: "النتيجة",
    vesselDensity: "كثافة الأوعية",
    quality: { good: "جيدة", usable: "صالحة للاستخدام بحذر", reject: "غير كافية للقياسات" },
    density: "الكثافة",
    announced: (densities) => `الكثافة: ${densities.join("، ")}`,
    vessels: "الأوعية",
    warnings: (count) =>
      plural(count, {
        zero: "تنبيهات",
        one: "تنبيه",
        two: "تنبيهان",
        few: "تنبيهات",
        many: "تنبيهات",
        other: "تنبيهات",
      }),
    threshold: "العتبة",
    thresholds: "العتبات",
    thresholdOf: (name) => `${isolated(name)}: العتبة`,
    more: "أوعية أكثر",
    surest: "المؤكّدة فقط",
    reset: "إعادة الضبط",
    applyToAll: (count) => `تطبيق على الكل (${count})`,
    view: "العرض",
    compare: "مقارنة بالأصل",
    beside: "الأصل والنتيجة جنبًا إلى جنب",
    opacity: "العتامة",
    colour: "اللون",
    colours: { blue: "أزرق", green: "أخضر", yellow: "أصفر", magenta: "أرجواني", white: "أبيض" },
    otherColour: "لون آخر",
    colourOf: (name) => `لون ${isolated(name)}`,
    show: (name) => `إظهار ${isolated(name)}`,
  },
  correct: correct(number),
  gauge,
  download: {
    title: "تنزيل",
    mask: "القناع",
    labelMap: "خريطة الفئات",
    overlay: "صورة مركّبة",
    outlines: "حدود الأوعية",
    maskKind: "قناع PNG",
    noClass: "كل الفئات مخفية.",
    several: "بهذه العتبات وبالدقة الكاملة، للفئات الظاهرة.",
    one: "بهذه العتبة وبالدقة الكاملة.",
    preparing: "جارٍ التحضير…",
    saved: (name) => `تم حفظ ${isolated(name)}.`,
  },
  facts: {
    title: "عن هذه النتيجة",
    quality: "الجودة",
    model: "النموذج",
    device: "الجهاز",
    size: "الحجم",
    time: "المدة",
    times: (total, server) => `${duration(total)}، منها ${duration(server)} على الخادم`,
  },
  print: {
    original: "الأصل",
    overlay: "مع الأوعية المحدَّدة",
    vessels: "الأوعية",
    density: (share, region, threshold) => `${percent(share)} ${region}، عند عتبة ${number(threshold, 2)}`,
    notShown: "، مخفية",
    model: "النموذج",
    on: (model, device, precision) => `${ltr(model)}، على ${ltr(device)} بدقة ${ltr(precision)}`,
    photograph: "الصورة",
    pixels: (width, height) => `${ltr(`${width} × ${height}`)} بكسل`,
    warning: "تنبيه",
  },
  help: {
    title: "المفاتيح والإيماءات",
    close: "إغلاق",
    gestures: "عجلة الفأرة أو إصبعان للتكبير، والسحب للتحريك، والنقر المزدوج للحجم 100% والعودة.",
    drawing: "أثناء التصحيح: إصبع واحد أو قلم يرسم، وإصبعان أو زر الفأرة الأوسط يحركان الصورة.",
    singleKeys: "المفاتيح المفردة اختصارات",
    rule: "يُعدّ البكسل وعاءً إذا بلغ احتماله العتبة.",
    density: "الكثافة هي نسبة الأوعية من منطقة التصوير؛ ويتعرّف الخادم على هذه المنطقة من الحافة الداكنة للصورة.",
    medical: "ليس جهازًا طبيًا: غير مخصص للتشخيص أو العلاج.",
    sample: `صورة المثال: ${ltr("Häggström, CC0")}.`,
    licences: (link) => [link("تراخيص"), " مكوّنات هذه الصفحة."],
    keys: { enter: "Enter", escape: "Esc", delete: "Delete", undo: "Ctrl Z", redo: "Ctrl Shift Z", space: "Space" },
    does: {
      step: "خفض العتبة أو رفعها بمقدار 0.01؛ وأثناء التصحيح تصغير الفرشاة وتكبيرها",
      leap: "خفض العتبة أو رفعها بمقدار 0.1",
      reset: "عتبة النموذج",
      view: "الأوعية، الأصل، القناع، الاحتمال. مع إبقاء O مضغوطًا: الأصل ما دام مضغوطًا",
      compare: "تشغيل المقارنة أو إيقافها",
      wipe: "تحريك خط المقارنة، توسيطه",
      beside: "عرض الأصل والنتيجة جنبًا إلى جنب أو إلغاؤه",
      zoom: "تكبير، تصغير",
      fit: "ملاءمة النافذة، 100%",
      arrows: "الصورة التالية، السابقة",
      lines: "سطر إلى أعلى أو أسفل بين كل الصور. والأسهم الأربعة تحرّك الصورة المكبّرة التي عليها التركيز",
      next: "الصورة التالية، السابقة",
      open: "فتح صورة، العودة إلى كل الصور",
      delete: "إزالة الصورة التي عليها التركيز",
      undo: "تراجع",
      add: "إضافة صور",
      save: "تنزيل القناع",
      correct: "تصحيح القناع وإنهاء التصحيح",
      tools: "فرشاة، ممحاة، ملء فجوة",
      brushDown: "إنزال الفرشاة ورفعها؛ الأسهم تحركها، ومع Shift بكسلًا واحدًا",
      clean: "إزالة البقع، ملء الثقوب",
      redo: "إعادة",
      measure: "المسطرة وقُطر الوعاء: بدء القياس وإنهاؤه",
      regions: "الكثافة في مستطيل أو شكل بيضوي",
      help: "هذه المساعدة",
    },
  },
  trouble: {
    ImageDecodeError: { title: "تعذّر فتح هذا الملف كصورة" },
    ImageTooLargeError: { title: "هذه الصورة كبيرة جدًا" },
    FieldOfViewError: {
      title: "لم يُعثر على الشبكية",
      advice: "الصورة سوداء أو لا تكاد تُظهر شيئًا من العين. تأكّد من أنه الملف الصحيح.",
    },
    BusyError: { title: "الخادم مشغول", advice: "هناك صور أخرى في الانتظار. أعد المحاولة بعد قليل." },
    NotReadyError: { title: "الخادم غير جاهز", advice: "إنه يبدأ التشغيل أو يتوقف. أعد المحاولة بعد قليل." },
    InternalError: {
      title: "حدث خطأ في الخادم",
      advice: "يمكن إرسال الصورة مرة أخرى. إذا تكرر الخطأ فأخبر المسؤول عن الخادم.",
    },
    Unreachable: {
      title: "تعذّر الاتصال بالخادم",
      advice: "تأكّد من أنه يعمل وأن هذا الجهاز على الشبكة نفسها، ثم أعد المحاولة.",
    },
    KeyNeeded: {
      title: "هذا الخادم يطلب مفتاحًا",
      advice: "المسؤول عن الخادم يعرفه. تنسى هذه الصفحة المفتاح عند إغلاق علامة تبويبها.",
    },
    KeyWrong: {
      title: "هذا ليس مفتاح الخادم",
      advice: "راجعه حرفًا حرفًا، أو اطلبه من المسؤول عن الخادم.",
    },
    Empty: {
      title: "هذا الملف فارغ",
      advice: "حجمه 0 بايت: لم يكتمل نسخه أو تصديره. أحضره من مصدره مرة أخرى.",
    },
    Unreadable: {
      title: "لم يعد ممكنًا قراءة هذا الملف",
      advice: "نُقل أو أُعيدت تسميته أو تغيّر بعد اختياره، أو فُصل قرصه. أضفه من جديد.",
    },
    ProxyTooLarge: {
      title: "هذه الصورة أكبر من أن تصل إلى الخادم",
      advice: `يرفض وكيل أمام الخادم الملفات بهذا الحجم. يستطيع المسؤول السماح بملفات أكبر (${ltr("client_max_body_size")})؛ وقد تمرّ الصورة إذا صُدّرت بحجم أصغر.`,
    },
    ProxyRefused: {
      title: "رُفض الوصول إلى الخادم",
      advice: "رفض شيء ما أمام الخادم هذا الطلب. سجّل الدخول من جديد، أو اسأل المسؤول.",
    },
    BadGateway: {
      title: "الخادم لا يستجيب",
      advice: "يستجيب وكيل أمامه، لا الخادم نفسه: ربما يُعاد تشغيله. أعد المحاولة بعد قليل.",
    },
    GatewayTimeout: {
      title: "استغرق الخادم وقتًا طويلًا",
      advice: "توقف وكيل أمامه عن الانتظار. أعد المحاولة؛ وإذا تكرر ذلك فأخبر المسؤول عن الخادم.",
    },
    CutOff: {
      title: "قطع الخادم عملية الإرسال",
      advice: "قد يكون الملف أكبر مما يقبله. صدّر الصورة بحجم أصغر، أو أعد المحاولة.",
    },
    Unknown: {
      title: "تعذّر تحليل الصورة",
      advice: "أعد المحاولة. إذا تكرر الخطأ فأخبر المسؤول عن الخادم.",
    },
  },
};
