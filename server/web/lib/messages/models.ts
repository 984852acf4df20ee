/** What is said of the choice between models, in all languages. */

export interface ModelWords {
  readonly model: string;
  /** Where photographs have different ones. */
  readonly several: string;
  readonly forAll: (count: number) => string;
  /** After another one was chosen: how many photographs it analyses. */
  readonly asked: (count: number) => string;
}

const en: ModelWords = {
  model: "Model",
  several: "several",
  forAll: (count) => `Use for all ${count}`,
  asked: (count) => `Another model was chosen. Photographs: ${count}.`,
};

const de: ModelWords = {
  model: "Modell",
  several: "verschiedene",
  forAll: (count) => `Für alle ${count} verwenden`,
  asked: (count) => `Anderes Modell gewählt. Aufnahmen: ${count}.`,
};

const es: ModelWords = {
  model: "Modelo",
  several: "varios",
  forAll: (count) => `Usar para las ${count}`,
  asked: (count) => `Se eligió otro modelo. Imágenes: ${count}.`,
};

const zh: ModelWords = {
  model: "模型",
  several: "多个",
  forAll: (count) => `用于全部 ${count} 张`,
  asked: (count) => `已选择其他模型。照片：${count} 张。`,
};

const ar: ModelWords = {
  model: "النموذج",
  several: "متعددة",
  forAll: (count) => `استخدامه للكل (${count})`,
  asked: (count) => `تم اختيار نموذج آخر. عدد الصور: ${count}.`,
};

export const MODELS = { en, de, es, zh, ar };
