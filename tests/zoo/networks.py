"""The networks of the matrix: a table of what is built and how."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from vesselrt.export.head import Output

_COMPUTED = {"int8": "as OpenVINO computes it here"}
"""A limit: OpenVINO computes the INT8 file otherwise than it is written."""
SMP = "segmentation_models_pytorch"
NNUNET = "dynamic_network_architectures.architectures.unet"


@dataclass(frozen=True)
class ZooNetwork:
    """How a network is built: `module:function` and its arguments."""

    library: str
    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    size: int = 64
    """Side of the tile in pixels."""
    output: Output = "logits"
    pick: str | None = None
    limits: dict[str, str] = field(default_factory=dict)
    """Stage → words of the sentence that refuses it: a limit of a library, or of the network."""

    @property
    def title(self) -> str:
        return f"{self.library} {self.name}"

    def build(self) -> nn.Module:
        """The network itself. Raises ImportError where its library is missing."""
        module, _, function = self.factory.partition(":")
        network: nn.Module = getattr(importlib.import_module(module), function)(**self.arguments)
        return network


def hugging_face(kind: str, backbone: str | None = None, **fields: Any) -> nn.Module:
    """A network of transformers by its configuration alone; nothing is downloaded."""
    transformers = importlib.import_module("transformers")
    if backbone is not None:
        fields["backbone_config"] = getattr(transformers, f"{backbone}Config")(**fields["backbone_config"])
    config = getattr(transformers, f"{kind}Config")(num_labels=2, **fields)
    network: nn.Module = getattr(transformers, f"{kind}ForSemanticSegmentation")(config)
    return network


def _smp(kind: str, encoder: str, **fields: Any) -> ZooNetwork:
    arguments = {key: fields.pop(key) for key in list(fields) if key.startswith(("decoder", "encoder", "dynamic"))}
    if kind in ("Unet", "UnetPlusPlus", "MAnet"):
        arguments["decoder_channels"] = (32, 16, 8, 8, 8)
    known = {"encoder_name": encoder, "encoder_weights": None, "classes": 1, **arguments}
    return ZooNetwork("smp", f"{kind} {encoder}", f"{SMP}:{kind}", known, **fields)


def _smp_networks() -> Iterator[ZooNetwork]:
    encoders = ("resnet18", "mobilenet_v2", "efficientnet-b0", "mit_b0", "tu-convnext_atto", "tu-tf_efficientnetv2_b0")
    yield from (_smp("Unet", encoder) for encoder in (*encoders, "vgg11_bn", "mobileone_s0"))
    yield from (_smp(kind, "resnet18") for kind in ("UnetPlusPlus", "MAnet", "Linknet", "UPerNet", "Segformer"))
    yield from (_smp("FPN", encoder) for encoder in ("resnet18", "mit_b0", "tu-convnext_atto"))
    yield from (_smp("UPerNet", encoder) for encoder in ("mit_b0", "tu-convnext_atto"))
    yield _smp("Segformer", "mit_b0", limits=_COMPUTED)
    yield _smp("PSPNet", "resnet18")
    yield _smp("PAN", "resnet18", size=128)
    yield _smp("DeepLabV3", "mobilenet_v2")
    yield _smp("DeepLabV3Plus", "mobilenet_v2", limits=_COMPUTED)
    yield _smp("DeepLabV3Plus", "tu-tf_efficientnetv2_b0")
    small = {"decoder_intermediate_channels": (16, 32, 32, 32), "decoder_fusion_channels": 16}
    yield _smp("DPT", "tu-vit_tiny_patch16_224", dynamic_img_size=True, **small)


def _monai(name: str, kind: str, **fields: Any) -> ZooNetwork:
    own = {key: fields.pop(key) for key in ("pick", "limits") if key in fields}
    arguments = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, **fields}
    return ZooNetwork("MONAI", name, f"monai.networks.nets:{kind}", arguments, **own)


def _monai_networks() -> Iterator[ZooNetwork]:
    plain = {"channels": (8, 16, 32, 64), "strides": (2, 2, 2)}
    yield _monai("UNet batch norm", "UNet", num_res_units=2, norm="batch", **plain)
    yield _monai("UNet instance norm", "UNet", num_res_units=2, norm="instance", **plain)
    yield _monai("AttentionUnet", "AttentionUnet", **plain)
    features = (8, 8, 16, 32, 64, 8)
    yield _monai("BasicUNet", "BasicUNet", features=features)
    yield _monai("BasicUNetPlusPlus", "BasicUNetPlusPlus", features=features, deep_supervision=True, pick="-1")
    decoder = (32, 16, 8, 8, 8)
    for backbone in ("efficientnet-b0", "resnet18"):
        options = {"backbone": backbone, "decoder_channels": decoder, "is_pad": False}
        yield _monai(f"FlexibleUNet {backbone}", "FlexibleUNet", **options)
    yield _monai("SegResNet", "SegResNet", init_filters=8, limits=_COMPUTED)
    yield _monai("SegResNetDS", "SegResNetDS", init_filters=8)
    levels = {"kernel_size": (3, 3, 3, 3), "strides": (1, 2, 2, 2), "upsample_kernel_size": (2, 2, 2)}
    yield _monai("DynUNet", "DynUNet", filters=(8, 16, 32, 64), res_block=True, **levels)
    yield _monai("MedNeXt", "MedNeXt", init_filters=8, blocks_down=(1, 1, 1, 1), blocks_up=(1, 1, 1, 1))
    attention = {"hidden_size": 48, "mlp_dim": 96, "num_heads": 4, "feature_size": 8}
    yield _monai("UNETR", "UNETR", img_size=(64, 64), **attention)
    yield _monai("SwinUNETR", "SwinUNETR", feature_size=12, depths=(1, 1, 1, 1))


def _torchvision_networks() -> Iterator[ZooNetwork]:
    nothing = {"weights": None, "weights_backbone": None, "num_classes": 1}
    for kind in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50", "deeplabv3_resnet50"):
        limits = {"int8": "INT8"} if kind.startswith("lraspp") else {}  # 8 bits are too few for it
        yield ZooNetwork(
            "torchvision", kind, f"torchvision.models.segmentation:{kind}", nothing, pick="out", limits=limits
        )


def _nnunet_networks() -> Iterator[ZooNetwork]:
    plan = {
        "input_channels": 3,
        "n_stages": 5,
        "features_per_stage": (8, 16, 32, 64, 64),
        "conv_op": nn.Conv2d,
        "kernel_sizes": 3,
        "strides": (1, 2, 2, 2, 2),
        "num_classes": 2,
        "n_conv_per_stage_decoder": 2,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm2d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
    }
    own: dict[str, Any] = {"output": "softmax"}
    plain = {**plan, "n_conv_per_stage": 2}
    yield ZooNetwork("nnU-Net", "PlainConvUNet", f"{NNUNET}:PlainConvUNet", plain, **own)
    deep = {**plain, "deep_supervision": True}
    yield ZooNetwork("nnU-Net", "PlainConvUNet deep supervision", f"{NNUNET}:PlainConvUNet", deep, pick="0", **own)
    residual = {**plan, "n_blocks_per_stage": (1, 1, 2, 2, 2)}
    yield ZooNetwork("nnU-Net", "ResidualEncoderUNet", f"{NNUNET}:ResidualEncoderUNet", residual, **own)


def _hugging_face_networks() -> Iterator[ZooNetwork]:
    def network(name: str, **fields: Any) -> ZooNetwork:
        here = "zoo.networks:hugging_face"
        return ZooNetwork("transformers", name, here, fields, output="softmax", pick="logits")

    sizes: dict[str, Any] = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 32, 64, 96]}
    yield network("Segformer", kind="Segformer", decoder_hidden_size=32, **sizes)
    stages = {"out_features": ["stage1", "stage2", "stage3", "stage4"]}
    head: dict[str, Any] = {"hidden_size": 32, "use_auxiliary_head": False, "kind": "UperNet"}
    yield network("UperNet ConvNext", backbone="ConvNext", backbone_config={**sizes, **stages}, **head)
    swin = {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 4, 4], "window_size": 4, **stages}
    yield network("UperNet Swin", backbone="Swin", backbone_config=swin, **head)
    vit = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}
    dpt = {"image_size": 64, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [16, 16, 32, 32]}
    dpt |= {"fusion_hidden_size": 16, "is_hybrid": False, "use_auxiliary_head": False}
    yield network("DPT", kind="DPT", **vit, **dpt)
    beit = {"image_size": 64, "out_indices": [1, 2, 3, 4], "use_auxiliary_head": False}
    yield network("BEiT", kind="Beit", use_relative_position_bias=True, **vit, **beit)
    yield network("MobileNetV2", kind="MobileNetV2", depth_multiplier=0.5)
    widths = {"hidden_sizes": [32, 48, 64], "neck_hidden_sizes": [16, 16, 24, 32, 48, 64, 80]}
    yield network("MobileViT", kind="MobileViT", **widths)


def _retina_networks() -> Iterator[ZooNetwork]:
    for name, kind, fields in (
        ("W-Net", "WNet", {"pick": "-1"}),
        ("IterNet", "IterNet", {"pick": "-1"}),
        ("SA-UNet", "SAUNet", {}),
        ("CS-Net", "CSNet", {"arguments": {"gain": 64.0}}),
        ("FR-UNet", "FRUNet", {}),
        ("M2U-Net", "M2UNet", {}),
    ):
        yield ZooNetwork("retina", name, f"zoo.retina:{kind}", **fields)


NETWORKS = (
    *_retina_networks(),
    *_monai_networks(),
    *_nnunet_networks(),
    *_torchvision_networks(),
    *_hugging_face_networks(),
    *_smp_networks(),
)

SAMPLE = frozenset(
    {"retina W-Net", "MONAI UNETR", "nnU-Net PlainConvUNet", "torchvision lraspp_mobilenet_v3_large"}
    | {"transformers Segformer", "smp Unet mobilenet_v2"}
)
"""Titles of one network of each kind, for the tests; `python -m zoo` runs all."""
