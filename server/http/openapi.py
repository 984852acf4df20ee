"""What /openapi.json says beyond what FastAPI reads from the code: media types, bodies and examples of /predict."""

import json
from typing import Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer

from vesselrt.server.http.openapi_errors import header_schema
from vesselrt.server.http.options import AnswerOptions

DESCRIPTION = """
Segments the blood vessels of the retina in an eye photograph.

    curl -F image=@photo.jpg 'http://127.0.0.1:8000/predict?threshold=0.4' -o mask.png
    curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict -o mask.png

Every error has the same shape: `{"error": {"type": "...", "message": "...", "request_id": "..."}}`. Every answer has
`X-Request-ID`, that of the request if it sent one, and `Server-Timing`. Where the server has an API key, it is sent as
`X-API-Key` or `Authorization: Bearer`. Not a medical device.
"""

PREDICT = """
Takes one photograph (JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF, and DICOM where the
server has the extra `dicom`) and answers with a file of the photograph's size.

A pixel belongs to a vessel where `probability ≥ threshold × 255`. To try several thresholds, ask once for
`format=probability`, an 8-bit grey PNG of 255 × the probability, and apply this rule to it. Where `format` is left out,
the header `Accept` chooses: image/png, image/svg+xml, application/geo+json or application/json.

A server that shows a photograph to its models several times (`VESSELRT_TTA`), or averages several models, knows where
their answers differ: `format=spread` is 510 × the standard deviation of the probability, so 255 is 0.5, the most that
there can be. Of a model with one member it is an error; /models says how many members each has.

A model may tell several classes apart, such as artery and vein: /models names them, and `classes` chooses some. A pixel
belongs to each class whose threshold it reaches. Where `exclusive` is true there, or where a mask shows several
classes, it belongs to the most probable of these, of equals to the first.

A DICOM file may hold several photographs: `frame` names one, from 1. Of DICOM alone there are results in DICOM:
`format=dicom-seg`, `dicom-probability` and `dicom-sr`. They name the patient of the photograph.

Two eyes in one photograph are segmented both, each at its own scale. The header `X-Vesselrt-Quality`, and the JSON, say
whether the photograph is `good`, `usable` or to `reject`, and why: not_a_fundus, dark, overexposed, noisy, compressed,
blurred, cut (a part of the field of view) or no_edge (its scale is a guess). Sentences on it stand in the header
`X-Vesselrt-Warnings`, and in the JSON. `quality=false` leaves both out, for ultra-wide-field cameras.

With `format=json` and `measure=true` the JSON has measurements of the vessels, and a reason for each that can't be had:
length, calibre, tortuosity, fractal dimensions, branching, and CRAE, CRVE and AVR where the model tells artery and vein
apart. `um_per_px` or `field_angle` give the scale, and `disc` the place of the optic disc.

A person's correction may come beside the photograph, as the multipart file `correction`: a grey PNG of the photograph's
size, 255 for vessel, 0 for none, 128 where the model is right, so a mask of 0 and 255 replaces the model's. Of several
classes they lie one below the other, as in `format=probability`. Every format follows it, at any threshold above 0, and
says that it is corrected.

The header `X-Request-Timeout` says after how many seconds the answer is of no more use.
"""

BATCH = """
Takes several photographs as multipart fields `image` and answers with a ZIP file, or with lines of JSON where `Accept`
names application/x-ndjson; each photograph as soon as it is finished. What can't be used has its error in its place.
What is doubtful about a photograph stands in its line, or in a file beside its own: `000-left-warnings.json`.
"""

BINARY_SCHEMA = {"type": "string", "format": "binary"}
_OPTIONS = AnswerOptions.schemas()
KEYS = [
    Security(APIKeyHeader(name="X-API-Key", scheme_name="key", auto_error=False)),
    Security(HTTPBearer(scheme_name="bearer", auto_error=False)),
]
"""Either of them, where the server has a key: it is checked in vesselrt.server.http.edge, before a body is read."""


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    example = {"example": schema["examples"][0]} if "examples" in schema else {}
    return {"name": name, "in": "query", "required": False, "schema": schema, **example}


TIMEOUT_HEADER = {
    "name": "X-Request-Timeout",
    "in": "header",
    "required": False,
    "schema": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds."},
    "example": 5,
}


def _form(**files: dict[str, Any]) -> dict[str, Any]:
    """The fields of a form, `files` being the schemas of those that are files, the photographs first."""
    image, *_ = files
    return {
        "type": "object",
        "required": [image],
        "additionalProperties": False,
        "properties": {**files, **_OPTIONS},
    }


_RAW = {
    "image/*": {"schema": BINARY_SCHEMA},
    "application/dicom": {"schema": BINARY_SCHEMA},
    "application/octet-stream": {"schema": BINARY_SCHEMA},
}
"""One photograph, without a form."""
PREDICT_REQUEST: dict[str, Any] = {
    "parameters": [*(_parameter(name, schema) for name, schema in _OPTIONS.items()), TIMEOUT_HEADER],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _form(
                    image={**BINARY_SCHEMA, "description": "One photograph, with a file name."},
                    correction={**BINARY_SCHEMA, "description": "A grey PNG of 0, 128 and 255, see above."},
                ),
                # Swagger's notation for "a file is sent here" is the schema; an example shows the other fields.
                "example": {"image": "@photo.jpg", "threshold": 0.4, "format": "overlay"},
            },
            **_RAW,
        },
    },
}


PREDICT_HEADERS: dict[str, Any] = {
    "Server-Timing": header_schema(
        "Milliseconds of each stage.",
        "wait;dur=0.1, decode;dur=3.9, prepare;dur=1.2, infer;dur=21.3, finish;dur=0.8, encode;dur=2.1",
    ),
    "X-Vesselrt-Model": header_schema("Name and version of the model.", "fundus 1.2.0"),
    "X-Vesselrt-Device": header_schema("The device that was really used.", "cpu"),
    "X-Vesselrt-Precision": header_schema("The precision that was really used.", "bf16"),
    "X-Vesselrt-Threshold": header_schema("The threshold that was used, of each class: artery:0.5,vein:0.4.", "0.5"),
    "X-Vesselrt-Classes": header_schema(
        "Of a model that tells several classes apart: those that are shown, in their order.", "artery,vein"
    ),
    "X-Vesselrt-Scale": header_schema(
        "Of each field of view its diameter in pixels, and whether its edge was found, it was told, or it is guessed: "
        "the longer side, because no edge is seen.",
        "928 found",
    ),
    "X-Vesselrt-Frame": header_schema(
        "Of a DICOM file: which of its photographs this is, and how many it has.",
        "2/12",
    ),
    "X-Vesselrt-Um-Per-Px": header_schema(
        "Of a DICOM file that tells its pixel spacing or its field angle: micrometres of the retina in a pixel.",
        "7.5",
    ),
    "X-Vesselrt-Quality": header_schema(
        "good, usable or reject, and after a colon the reasons; not there where it was not asked for.",
        "usable: blurred, dark",
    ),
    "X-Vesselrt-Warnings": header_schema(
        "What is doubtful about the photograph, sentences with | between them; not there if nothing is.",
        "The photograph looks blurred: thin vessels may be missing.",
    ),
    "X-Vesselrt-Levels": header_schema(
        "With format=probability, of a model of one class: how many pixels of the field of view have the values 0 to "
        "255. The vessel density at any threshold is the share of those that reach it.",
        "812345,1201,998,705",
    ),
    "X-Vesselrt-Fields-Of-View": header_schema(
        "With format=probability: x,y of the corners of each field of view's convex outline, | between them. A class's "
        "density is its share of the pixels inside.",
        "0,0 927,0 927,927 0,927",
    ),
    "Content-Disposition": header_schema(
        "A file name made from that of the upload; filename* where it has letters beyond ASCII.",
        'inline; filename="photo-mask.png"',
    ),
}

PREDICT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, of the kind that `format` asked for.",
        "headers": PREDICT_HEADERS,
        "content": {
            "image/png": {"schema": BINARY_SCHEMA},
            "image/svg+xml": {
                "schema": {"type": "string"},
                "example": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 565 584" width="565" height="584">'
                '<path fill="#00ff66" fill-rule="evenodd" d="M10 10L12 10L12 11L10 11Z"/></svg>',
            },
            "application/geo+json": {
                "schema": {"type": "object"},
                "example": {
                    "type": "FeatureCollection",
                    "features": [
                        {
                            "type": "Feature",
                            "geometry": {
                                "type": "MultiPolygon",
                                "coordinates": [[[[10, 10], [12, 10], [12, 11], [10, 11], [10, 10]]]],
                            },
                            "properties": {"classification": {"name": "vessel"}, "threshold": 0.5},
                        }
                    ],
                },
            },
        },
    }
}

_DOCUMENT = {
    "model": {"name": "fundus", "version": "1.2.0"},
    "device": "cpu",
    "precision": "f32",
    "width": 4,
    "height": 3,
    "threshold": 0.5,
    "mask": {"size": [3, 4], "counts": "43050"},
    "statistics": {
        "vessel_pixels": 3,
        "field_of_view_pixels": 12,
        "vessel_density": 0.25,
        "vessel_parts": 1,
    },
    "fields_of_view": [
        {
            "box": {"top": 0, "left": 0, "bottom": 3, "right": 4},
            "diameter": 4,
            "scale": "found",
            "outline": [[0, 0], [3, 0], [3, 2], [0, 2]],
        }
    ],
    "quality": {"verdict": "good", "reasons": []},
    "warnings": [],
    "milliseconds": {"wait": 0.1, "decode": 3.9, "prepare": 1.2, "infer": 21.3, "finish": 0.8},
}
PREDICT_ANSWER[200]["content"]["application/json"] = {"schema": {"type": "object"}, "example": _DOCUMENT}
PREDICT_ANSWER[200]["content"]["application/dicom"] = {"schema": BINARY_SCHEMA}

BATCH_REQUEST: dict[str, Any] = {
    "parameters": PREDICT_REQUEST["parameters"],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _form(image={"type": "array", "minItems": 1, "items": BINARY_SCHEMA}),
                "example": {"image": ["@left.jpg", "@right.jpg"], "format": "mask"},
            },
            **_RAW,
        },
    },
}
_LINE = {
    "number": 0,
    "name": "left",
    "status": 200,
    "media_type": "image/png",
    "milliseconds": {},
    "quality": {"verdict": "good", "reasons": []},
    "warnings": [],
    "content": "iVBORw0=",
}
BATCH_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The photographs' files, in the order in which they were finished.",
        "content": {
            "application/zip": {"schema": BINARY_SCHEMA},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": json.dumps(_LINE) + "\n"},
        },
    }
}
METRICS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": "vesselrt_places_taken 0.0\n"}},
    }
}
