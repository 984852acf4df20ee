import type { GaugeWords } from "./en";

export const gauge: GaugeWords = {
  title: "القياس",
  start: "مسطرة، قُطر، منطقة",
  bar: "أدوات القياس",
  tools: {
    length: "مسطرة",
    width: "قُطر الوعاء",
    rectangle: "الكثافة في مستطيل",
    ellipse: "الكثافة في شكل بيضوي",
  },
  how: {
    length: "اسحب خطًا، أو المس طرفيه. مفتاح المسافة يضع خطًا في الوسط.",
    width: "المس وعاءً: يتبع القُطر العتبة. مفتاح المسافة يضع قياسًا في الوسط.",
    rectangle: "اسحب، أو المس زاويتين متقابلتين. مفتاح المسافة يضع مستطيلًا في الوسط.",
    ellipse: "اسحب، أو المس زاويتين متقابلتين. مفتاح المسافة يضع شكلًا في الوسط.",
  },
  kinds: { length: "مسطرة", width: "قُطر", rectangle: "مستطيل", ellipse: "شكل بيضوي" },
  name: (kind, number) => `${kind} ${number}`,
  parts: { from: "الطرف الأول", to: "الطرف الثاني", whole: "الموضع" },
  part: (name, part, reading) => `${name}، ${part}${reading && `: ${reading}`}`,
  list: "القياسات",
  px: (value) => `${value} بكسل`,
  um: (value) => `${value} ميكرومتر`,
  noVessel: "لا وعاء هنا عند هذه العتبة",
  outside: "خارج منطقة التصوير",
  scale: "ميكرومتر لكل بكسل",
  noScale: "غير معروف. أدخله لتظهر القيم بالميكرومتر أيضًا.",
  scaleTold: "كما ورد في الملف.",
  scaleForAll: (count) => `هذا المقياس للصور كلها (${count})`,
  save: "حفظ القياسات (CSV)",
};
