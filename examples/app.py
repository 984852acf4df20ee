"""An application of your own in Streamlit: photograph, threshold, overlay, downloads.

pip install 'vesselrt[examples]'
streamlit run examples/app.py

.streamlit/config.toml beside it keeps it on this machine, and turns Streamlit's usage statistics off.
"""

import streamlit as st

import vesselrt

FORMATS = {"mask": "png", "overlay": "png", "svg": "svg", "geojson": "geojson"}


@st.cache_resource
def segmenter() -> vesselrt.Segmenter:
    """One for all visitors: it may be shared by threads."""
    return vesselrt.load()


@st.cache_resource(max_entries=8, show_spinner="Finding vessels …")
def segmentation(photograph: bytes) -> vesselrt.Segmentation:
    """Found once for each photograph; another threshold costs no second inference."""
    return segmenter().segment(photograph)


def show(name: str, photograph: bytes) -> None:
    """One photograph with its controls."""
    try:
        result = segmentation(photograph)
    except vesselrt.ImageError as error:  # the message says what came, what was expected, what to do
        st.error(str(error))
        return
    default = segmenter().manifest.threshold
    threshold = st.slider("Threshold", 0.0, 1.0, default, 0.01, help="Lower finds more, higher only the surest.")
    view = st.segmented_control("View", ["Overlay", "Original", "Mask"], default="Overlay")
    pictures = {"Original": photograph, "Mask": result.encode("mask", threshold)}
    st.image(pictures.get(view or "Overlay") or result.encode("overlay", threshold), caption=name)
    for warning in result.warnings:  # blurred, dark, a scale that is a guess
        st.warning(warning)
    st.metric("Vessel density", f"{100 * result.density(threshold):.1f} %", help="Share of the field of view")
    for column, (form, suffix) in zip(st.columns(len(FORMATS)), FORMATS.items(), strict=True):
        column.download_button(form.upper(), result.encode(form, threshold), f"{name}-{form}.{suffix}")
    st.caption(f"{segmenter().info.device_name}, {sum(result.timings.values()):.0f} ms. Not a medical device.")


def main() -> None:
    """The page."""
    st.set_page_config("Blood vessels", layout="centered")
    st.title("Blood vessels in eye photographs")
    for file in st.file_uploader("Photographs", accept_multiple_files=True)[-1:]:
        show(file.name, file.getvalue())


main()
