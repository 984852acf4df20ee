import type { GaugeWords } from "./en";

export const gauge: GaugeWords = {
  title: "测量",
  start: "标尺、管径、区域",
  bar: "测量工具",
  tools: { length: "标尺", width: "血管管径", rectangle: "矩形区域的密度", ellipse: "椭圆区域的密度" },
  how: {
    length: "拖出一条线，或点按两端。",
    width: "点按血管：管径随阈值变化。",
    rectangle: "拖出区域，或点按两个对角。",
    ellipse: "拖出区域，或点按外框的两个对角。",
  },
  keys: "空格键在中央放置一个测量。方向键移动获得焦点的部分，按住 Shift 每次 10 像素；Delete 键删除。",
  kinds: { length: "标尺", width: "管径", rectangle: "矩形", ellipse: "椭圆" },
  name: (kind, number) => `${kind} ${number}`,
  parts: { from: "第一端", to: "第二端", whole: "位置" },
  part: (name, part, reading) => `${name}，${part}${reading && `：${reading}`}`,
  list: "测量结果",
  px: (value) => `${value} 像素`,
  um: (value) => `${value} µm`,
  noVessel: "在此阈值下此处没有血管",
  outside: "在成像区域之外",
  scale: "每像素 µm",
  noScale: "未知。输入后同时显示 µm。",
  scaleTold: "由文件给出。",
  scaleForAll: (count) => `此比例用于全部 ${count} 张`,
  save: "保存测量结果（CSV）",
};
