import { correct } from "./correct/es";
import { DOUBTS } from "./doubts";
import type { Messages } from "./en";
import { gauge } from "./gauge/es";
import { grammarOf } from "./grammar";
import { KEEPING } from "./keeping";
import { MODELS } from "./models";

const { number, percent, duration, plural } = grammarOf<"one" | "many" | "other">("es", {
  percent: "\u00a0%",
  milliseconds: "\u00a0ms",
  seconds: "\u00a0s",
});

/** Whole millions, which Spanish tells apart, are no count of photographs. */
const counted = (count: number, one: string, other: string) => plural(count, { one, many: other, other });

export const es: Messages = {
  number,
  percent,
  duration,
  title: "vesselrt: vasos sanguíneos en retinografías",
  place: (number, all) => `${number} de ${all}`,
  size: (width, height) => `${width} × ${height}`,
  tryAgain: "Reintentar",
  view: {
    overlay: "Vasos",
    original: "Original",
    mask: "Máscara",
    probability: "Probabilidad",
    spread: "Discrepancia",
  },
  region: { "field of view": "del campo fotografiado", image: "de la imagen" },
  notMedical: "No es un dispositivo médico.",
  notForDiagnosis: "No apto para diagnóstico ni tratamiento.",
  header: {
    all: "Todas las imágenes",
    allKey: "Todas las imágenes (Esc)",
    add: "Añadir imágenes",
    help: "Ayuda",
    language: "Idioma",
  },
  invitation: {
    title: "Vasos sanguíneos en retinografías",
    mouse: "Arrastre retinografías a esta página, pegue una o elija archivos.",
    touch: "Elija retinografías o tome una.",
    choose: "Elegir imágenes",
    take: "Tomar una imagen",
    formats:
      "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF o DICOM. Las imágenes solo van a este servidor y no se guardan.",
    sample: "Ver el ejemplo",
    drop: "Suelte para añadir",
  },
  state: { done: "lista", check: "revisar", failed: "error", waiting: "en espera", working: "analizando" },
  sending: (share) => `enviando ${percent(share, 0)}`,
  photographs: "Imágenes",
  filmStrip: "Tira de imágenes",
  remove: (name) => `Quitar ${name}`,
  worklist: {
    tally: (figures) => [figures, " listas"],
    told: (done, all) => `${done} de ${all} listas`,
    attention: (count) => `${count} por revisar`,
    sort: "Ordenar por",
    by: { name: "Nombre", density: "Densidad", state: "Estado" },
  },
  saveAll: {
    title: "Guardar todo",
    mask: { name: "Máscaras", kind: "ZIP de PNG" },
    overlay: { name: "Superposiciones", kind: "ZIP de PNG" },
    geojson: { name: "Contornos", kind: "ZIP de GeoJSON" },
    csv: { name: "Tabla", kind: "CSV: densidad, umbral, modelo, avisos" },
    training: { name: "Conjunto de entrenamiento", kind: "ZIP de imágenes y máscaras, para vesselrt train" },
    preparing: {
      training: "Preparando máscaras",
      mask: "Preparando máscaras",
      overlay: "Preparando superposiciones",
      geojson: "Preparando contornos",
    },
    saved: {
      mask: (count) => counted(count, `${count} máscara guardada.`, `${count} máscaras guardadas.`),
      overlay: (count) => counted(count, `${count} superposición guardada.`, `${count} superposiciones guardadas.`),
      geojson: (count) =>
        counted(count, `${count} archivo de contornos guardado.`, `${count} archivos de contornos guardados.`),
      training: (count, corrected = 0) =>
        `Conjunto de entrenamiento guardado. Fotografías: ${number(count)}, corregidas: ${number(corrected)}.`,
      csv: "Tabla guardada.",
    },
    missing: (names) => `El servidor no entregó ningún archivo de ${names}.`,
    several: (names) =>
      `Sin incluir, pues un archivo con varias fotografías no puede ser la imagen de una máscara: ${names}.`,
  },
  doubts: DOUBTS.es,
  keeping: KEEPING.es,
  models: MODELS.es,
  undo: {
    undo: "Deshacer",
    dismiss: "Cerrar",
    forget: "Descartar definitivamente lo quitado",
    removed: (name) => ["Se quitó ", name, "."],
    applied: (count) =>
      counted(count, `Se cambió el umbral de ${count} imagen.`, `Se cambió el umbral de ${count} imágenes.`),
  },
  viewer: {
    label: {
      overlay: "vasos",
      original: "original",
      mask: "máscara",
      probability: "probabilidad",
      spread: "discrepancia",
    },
    heat: { probability: "Probabilidad de vaso", spread: "Cuánto difieren los modelos (desviación estándar)" },
    peek: "Mantener: original",
    zoom: "Zoom",
    zoomOut: "Alejar",
    zoomIn: "Acercar",
    fit: "Ajustar (0) o 100 % (1)",
    wiper: "Comparación: el original a la izquierda",
    wiperAt: (share) => `${percent(share, 0)} original`,
  },
  notice: {
    unseen: "Este navegador no puede mostrar el archivo; se muestran solo los vasos.",
    found: "Vasos encontrados.",
    waiting: "En espera de su turno",
    sending: "Enviando",
    finding: "Buscando vasos",
    serverSaid: "Mensaje del servidor",
    key: "Clave",
    keyPattern: "Letras, cifras y signos",
    enter: "Continuar",
    gettingReady: "El servidor se está preparando.",
  },
  panel: {
    title: "Resultado",
    vesselDensity: "Densidad vascular",
    quality: { good: "buena", usable: "Utilizable con cautela", reject: "Insuficiente para mediciones" },
    density: "Densidad",
    announced: (densities) => `Densidad: ${densities.join(", ")}`,
    vessels: "vasos",
    warnings: (count) => counted(count, "Aviso", "Avisos"),
    threshold: "Umbral",
    thresholds: "Umbrales",
    thresholdOf: (name) => `${name}: umbral`,
    more: "Más vasos",
    surest: "Solo los seguros",
    reset: "Restablecer",
    applyToAll: (count) => `Aplicar a las ${count}`,
    view: "Vista",
    compare: "Comparar con el original",
    beside: "Original y resultado lado a lado",
    opacity: "Opacidad",
    colour: "Color",
    colours: { blue: "Azul", green: "Verde", yellow: "Amarillo", magenta: "Magenta", white: "Blanco" },
    otherColour: "Otro color",
    colourOf: (name) => `Color de ${name}`,
    show: (name) => `Mostrar ${name}`,
  },
  correct: correct(number),
  gauge,
  download: {
    title: "Descargar",
    mask: "Máscara",
    labelMap: "Mapa de clases",
    overlay: "Superposición",
    outlines: "Contornos",
    maskKind: "Máscara PNG",
    noClass: "Todas las clases están ocultas.",
    several: "Con estos umbrales, a resolución completa, de las clases visibles.",
    one: "Con este umbral, a resolución completa.",
    preparing: "Preparando…",
    saved: (name) => `${name} guardado.`,
  },
  facts: {
    title: "Sobre este resultado",
    quality: "Calidad",
    model: "Modelo",
    device: "Equipo",
    size: "Tamaño",
    time: "Tiempo",
    times: (total, server) => `${duration(total)}, de ellos ${duration(server)} en el servidor`,
  },
  print: {
    original: "Original",
    overlay: "Con los vasos encontrados",
    vessels: "Vasos",
    density: (share, region, threshold) => `${percent(share)} ${region}, con un umbral de ${number(threshold, 2)}`,
    notShown: ", oculta",
    model: "Modelo",
    on: (model, device, precision) => `${model}, en ${device} con ${precision}`,
    photograph: "Imagen",
    pixels: (width, height) => `${width} × ${height} píxeles`,
    warning: "Aviso",
  },
  help: {
    title: "Teclas y gestos",
    close: "Cerrar",
    gestures: "Rueda o dos dedos para acercar, arrastrar para mover, doble clic para 100 % y volver.",
    drawing: "Al corregir: un dedo o un lápiz dibuja; dos dedos o el botón central del ratón mueven la imagen.",
    singleKeys: "Las teclas sueltas son atajos",
    rule: "Un píxel es vaso si su probabilidad alcanza el umbral.",
    density:
      "La densidad es la parte del campo fotografiado que es vaso; el servidor reconoce el campo por el borde oscuro de la imagen.",
    medical: "No es un dispositivo médico: no apto para diagnóstico ni tratamiento.",
    sample: "Imagen de ejemplo: Häggström, CC0.",
    licences: (link) => [link("Licencias"), " de los componentes de esta página."],
    keys: { enter: "Intro", escape: "Esc", delete: "Supr", undo: "Ctrl Z", redo: "Ctrl Mayús Z", space: "Espacio" },
    does: {
      step: "Bajar, subir el umbral 0,01; al corregir, pincel más pequeño, más grande",
      leap: "Bajar, subir el umbral 0,1",
      reset: "Umbral del modelo",
      view: "Vasos, original, máscara, probabilidad. O mantenida: el original mientras tanto",
      compare: "Activar o quitar la comparación",
      wipe: "Mover la línea de comparación, centrarla",
      beside: "Original y resultado lado a lado, o no",
      zoom: "Acercar, alejar",
      fit: "Ajustar a la ventana, 100 %",
      arrows: "Imagen anterior, siguiente",
      lines: "Subir, bajar una fila entre todas las imágenes. Las cuatro mueven una imagen ampliada que tiene el foco",
      next: "Imagen siguiente, anterior",
      open: "Abrir una imagen, volver a todas",
      delete: "Quitar la imagen que tiene el foco",
      undo: "Deshacer",
      add: "Añadir imágenes",
      save: "Descargar la máscara",
      correct: "Corregir la máscara y terminar",
      tools: "Pincel, borrador, rellenar un hueco",
      brushDown: "Apoyar el pincel, levantarlo; las flechas lo mueven, con Mayús un píxel",
      clean: "Quitar motas, rellenar huecos",
      redo: "Rehacer",
      measure: "Regla, calibre del vaso: empezar y terminar",
      regions: "Densidad en un rectángulo, en una elipse",
      help: "Esta ayuda",
    },
  },
  trouble: {
    ImageDecodeError: { title: "No se pudo abrir este archivo como imagen" },
    ImageTooLargeError: { title: "Esta imagen es demasiado grande" },
    FieldOfViewError: {
      title: "No se encontró la retina",
      advice: "La imagen está negra o apenas muestra el ojo. Compruebe que es el archivo correcto.",
    },
    BusyError: {
      title: "El servidor está ocupado",
      advice: "Hay otras imágenes en espera. Vuelva a intentarlo en un momento.",
    },
    NotReadyError: {
      title: "El servidor no está listo",
      advice: "Se está iniciando o deteniendo. Vuelva a intentarlo en un momento.",
    },
    InternalError: {
      title: "Hubo un error en el servidor",
      advice: "Puede enviar la imagen otra vez. Si vuelve a fallar, avise al responsable del servidor.",
    },
    Unreachable: {
      title: "No se pudo conectar con el servidor",
      advice: "Compruebe que está en marcha y que este equipo está en la misma red; después, vuelva a intentarlo.",
    },
    KeyNeeded: {
      title: "Este servidor pide una clave",
      advice: "El responsable del servidor la conoce. Esta página la olvida al cerrar la pestaña.",
    },
    KeyWrong: {
      title: "Esa no es la clave del servidor",
      advice: "Compruébela carácter por carácter o pídala al responsable del servidor.",
    },
    Empty: {
      title: "Este archivo está vacío",
      advice: "Tiene 0 bytes: no se copió o exportó por completo. Obténgalo de nuevo de su origen.",
    },
    Unreadable: {
      title: "Este archivo ya no se puede leer",
      advice: "Se movió, se renombró o se modificó después de elegirlo, o falta su unidad. Añádalo de nuevo.",
    },
    ProxyTooLarge: {
      title: "Esta imagen es demasiado grande para llegar al servidor",
      advice:
        "Un proxy situado delante del servidor rechaza archivos de este tamaño. El responsable puede permitir archivos " +
        "mayores (client_max_body_size); exportada a menor tamaño, la imagen quizá pase.",
    },
    ProxyRefused: {
      title: "Se denegó el acceso al servidor",
      advice:
        "Algo situado delante del servidor rechazó la petición. Inicie sesión de nuevo o consulte al responsable.",
    },
    BadGateway: {
      title: "El servidor no responde",
      advice:
        "Responde un proxy situado delante, pero no el servidor: quizá se esté reiniciando. Vuelva a intentarlo en un momento.",
    },
    GatewayTimeout: {
      title: "El servidor tardó demasiado",
      advice:
        "Un proxy situado delante dejó de esperar. Vuelva a intentarlo; si se repite, avise al responsable del servidor.",
    },
    CutOff: {
      title: "El servidor interrumpió el envío",
      advice: "El archivo quizá supere lo que acepta. Exporte la imagen a menor tamaño o vuelva a intentarlo.",
    },
    Unknown: {
      title: "No se pudo analizar la imagen",
      advice: "Vuelva a intentarlo. Si vuelve a fallar, avise al responsable del servidor.",
    },
  },
};
