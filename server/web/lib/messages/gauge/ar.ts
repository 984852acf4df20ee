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
    length: "اسحب خطًا، أو المس طرفيه.",
    width: "المس وعاءً: يتبع القُطر العتبة.",
    rectangle: "اسحب، أو المس زاويتين متقابلتين.",
    ellipse: "اسحب، أو المس زاويتين متقابلتين.",
  },
  keys: "مفتاح المسافة يضع قياسًا في الوسط. الأسهم تحرّك الجزء المحدد، ومع Shift بمقدار 10 بكسل؛ وDelete يحذفه.",
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
