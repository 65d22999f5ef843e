/// Models with the UNet of Stable Diffusion, specific ones before general ones.
///
/// Sources: ComfyUI's `model_detection.py` and `supported_models.py`, stable-diffusion.cpp's
/// `model_loader.cpp`, diffusers' `single_file_utils.py`.
extension Family {
  static let stableDiffusion: [Family] =
    [svd] + sdxl + sd2 + sd1 + [customXL, custom]

  // MARK: Marks that several rows share

  /// The widths of all Stable Diffusion up to 2.x.
  static let publishedWidths = [320, 640, 1280, 1280]

  private static let unetClass = "UNet2DConditionModel"

  /// Tensors of every UNet of this kind that video UNets lack.
  private static let structure: [FamilyMark] = [
    .has("input_blocks.0.0.weight", "conv_in.weight"),
    .lacks("*time_mixer.mix_factor", "*.temp_convs.*", "*.time_stack.*", "*motion_modules.*"),
  ]

  private static let attention: [FamilyMark] = [
    .has("*transformer_blocks.0.attn2.to_k.weight")
  ]

  private static func prompt(_ width: Int, optional: Bool = false) -> FamilyMark {
    .size("*transformer_blocks.0.attn2.to_k.weight", axis: -1, [width], optional: optional)
  }

  private static func input(_ channels: Int, optional: Bool = false) -> FamilyMark {
    .size("input_blocks.0.0.weight", "conv_in.weight", axis: 1, [channels], optional: optional)
  }

  private static func sizes(_ width: Int, _ says: String) -> FamilyMark {
    .size("label_emb.0.0.weight", "add_embedding.linear_1.weight", axis: 1, [width], says: says)
  }

  private static let unlabelled = FamilyMark.lacks(
    "label_emb.0.0.weight", "add_embedding.linear_1.weight", "class_embedding.linear_1.weight")

  private static let published = FamilyMark.widths([publishedWidths])

  /// Signs of fewer layers per level or a missing middle block.
  private static let noMiddle = FamilyMark.lacks(
    "middle_block.0.in_layers.2.weight", "mid_block.resnets.0.conv1.weight",
    says: "it has no middle block, as distilled models")
  private static let oneLayer = FamilyMark.layers(
    1, says: "it has 1 residual block in each level; Stable Diffusion has 2")

  private static let refinerParts = [
    FamilyPart(prefix: "conditioner.embedders.0.model.", name: .secondTextEncoder)
  ]

  // MARK: Video

  private static let svd = Family(
    "svd", "Stable Video Diffusion", part: .unet,
    classes: ["UNetSpatioTemporalConditionModel", "StableVideoDiffusionPipeline"],
    parts: [
      FamilyPart(prefix: "conditioner.embedders.0.open_clip.model.visual.", name: .imageEncoder)
    ],
    marks: [
      [
        .has("input_blocks.0.0.weight", "conv_in.weight"),
        .has("*time_mixer.mix_factor", says: "layers over time are mixed in, as in SVD"),
        sizes(768, "frame rate, motion and noise of the image are embedded"),
      ]
    ])

  // MARK: SDXL

  private static let sdxl: [Family] = [
    Family(
      "sdxl-refiner", "Stable Diffusion XL refiner", .stableDiffusionXL, part: .unet,
      classes: [unetClass], parts: refinerParts, adapter: .sdxlRefiner,
      marks: [
        structure + [
          sizes(2560, "sizes and an aesthetic score are embedded, as in SDXL's refiner"),
          prompt(1280, optional: true),
        ]
      ]),
    Family(
      "sdxl-inpainting", "Stable Diffusion XL inpainting", .stableDiffusionXL, part: .unet,
      classes: [unetClass, "StableDiffusionXLInpaintPipeline"],
      marks: [structure + [sizes(2816, sizedAsXL), prompt(2048, optional: true), input(9)]]),
    Family(
      "sdxl", "Stable Diffusion XL, InstructPix2Pix", .stableDiffusionXL, part: .unet,
      classes: [unetClass, "StableDiffusionXLInstructPix2PixPipeline"],
      marks: [structure + [sizes(2816, sizedAsXL), prompt(2048, optional: true), input(8)]]),
    Family(
      "sdxl", "Stable Diffusion XL", .stableDiffusionXL, part: .unet,
      classes: [
        unetClass, "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLControlNetPipeline",
      ],
      variants: [
        FamilyVariant(
          ", LCM",
          .has(
            "time_embed.cond_proj.weight", "time_embedding.cond_proj.weight",
            says: "the guidance scale is embedded, as in LCM"))
      ],
      adapter: .sdxl,
      marks: [structure + [sizes(2816, sizedAsXL), prompt(2048, optional: true), input(4)]]),
  ]

  private static let sizedAsXL =
    "sizes and a pooled prompt are embedded, as only in SDXL"

  // MARK: SD 2.x

  private static let sd2: [Family] = [
    Family(
      "sd2-unclip", "Stable Diffusion 2.1 unCLIP", .stableDiffusionVariant, part: .unet,
      classes: [unetClass, "StableUnCLIPImg2ImgPipeline", "StableUnCLIPPipeline"],
      parts: [FamilyPart(prefix: "embedder.model.visual.", name: .imageEncoder)],
      marks: [
        structure + [
          .size(
            "label_emb.0.0.weight", "class_embedding.linear_1.weight", axis: 1, [1536, 2048],
            says: "an image's CLIP embedding and its noise level are embedded, as in unCLIP"),
          prompt(1024), published,
        ]
      ]),
    Family(
      "sd2-inpainting", "Stable Diffusion 2.x inpainting", .stableDiffusion2Inpainting,
      part: .unet, classes: [unetClass],
      marks: [structure + [prompt(1024), input(9), unlabelled, published]]),
    Family(
      "sd2-depth", "Stable Diffusion 2.x depth", .stableDiffusionVariant, part: .unet,
      classes: [unetClass, "StableDiffusionDepth2ImgPipeline"],
      marks: [structure + [prompt(1024), input(5), unlabelled, published]]),
    Family(
      "sd2", "Stable Diffusion 2.x, InstructPix2Pix", .stableDiffusionVariant, part: .unet,
      classes: [unetClass],
      marks: [structure + [prompt(1024), input(8), unlabelled, published]]),
    Family(
      "sd2", "Stable Diffusion 2.x, distilled", .stableDiffusion2, part: .unet,
      classes: [unetClass],
      marks: [noMiddle, oneLayer].map {
        structure + [prompt(1024), input(4), unlabelled, smaller, $0]
      }),
    Family(
      "sd2", "Stable Diffusion 2.x", .stableDiffusion2, isDrawn: true, part: .unet,
      classes: [unetClass], adapter: .sd2,
      marks: [structure + [prompt(1024), input(4), unlabelled, published]]),
  ]

  // MARK: SD 1.x

  /// The widths of distilled models, some of which lack the innermost level.
  private static let smaller = FamilyMark.widths([publishedWidths, [320, 640, 1280]])

  private static let sd1: [Family] = [
    Family(
      "sd1-inpainting", "Stable Diffusion 1.x inpainting", .stableDiffusion1Inpainting,
      isDrawn: true, part: .unet, classes: [unetClass, "StableDiffusionInpaintPipeline"],
      marks: [structure + [prompt(768), input(9), unlabelled, smaller]]),
    Family(
      "sd1-pix2pix", "Stable Diffusion 1.x, InstructPix2Pix", .stableDiffusionVariant, part: .unet,
      classes: [unetClass, "StableDiffusionInstructPix2PixPipeline"],
      marks: [structure + [prompt(768), input(8), unlabelled, smaller]]),
    Family(
      "sd1", "Stable Diffusion 1.x, depth", .stableDiffusionVariant, part: .unet,
      classes: [unetClass],
      marks: [structure + [prompt(768), input(5), unlabelled, smaller]]),
    Family(
      "sd1-lcm", "Stable Diffusion 1.x, LCM", .stableDiffusion1, isDrawn: true, part: .unet,
      classes: [unetClass, "LatentConsistencyModelPipeline"],
      marks: [
        structure + [
          .has(
            "time_embed.cond_proj.weight", "time_embedding.cond_proj.weight",
            says: "the guidance scale is embedded, as in LCM"),
          prompt(768), input(4), unlabelled, smaller,
        ]
      ]),
    Family(
      "sd1-distilled", "Stable Diffusion 1.x, distilled", .stableDiffusion1, isDrawn: true,
      part: .unet, classes: [unetClass],
      variants: [
        FamilyVariant(" (tiny)", .widths([[320, 640, 1280]]), noMiddle),
        FamilyVariant(" (small)", noMiddle),
      ],
      marks: [noMiddle, oneLayer].map {
        structure + [prompt(768), input(4), unlabelled, smaller, $0]
      }),
    Family(
      "sd1", "Stable Diffusion 1.x", .stableDiffusion1, isDrawn: true, part: .unet,
      classes: [
        unetClass, "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline",
        "StableDiffusionControlNetPipeline",
      ],
      adapter: .sd1,
      marks: [structure + [prompt(768), input(4), unlabelled, published]]),
  ]

  // MARK: Other widths

  private static let customXL = Family(
    "custom-sd", "Stable Diffusion XL architecture with custom widths", .stableDiffusionVariant,
    part: .unet, classes: [unetClass],
    marks: [
      structure + attention + [
        .has(
          "label_emb.0.0.weight", "add_embedding.linear_1.weight",
          "class_embedding.linear_1.weight", says: "more than the time step is embedded"),
        .has("out.2.weight", "conv_out.weight"),
      ]
    ])

  private static let custom = Family(
    "custom-sd", "Stable Diffusion architecture with custom widths", .stableDiffusionVariant,
    isDrawn: true, part: .unet, classes: [unetClass], adapter: .sd1OrSD2,
    marks: [
      structure + attention + [
        .has("time_embed.0.weight", "time_embedding.linear_1.weight"),
        .has("*.0.in_layers.2.weight", "*.resnets.0.conv1.weight"),
        .has("out.2.weight", "conv_out.weight"),
      ]
    ])
}
