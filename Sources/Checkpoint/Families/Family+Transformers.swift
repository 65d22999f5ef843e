import OrderedJSON

/// Diffusion transformers, specific ones before general ones; sdgen supports none of them.
///
/// Each is recognized by its original names and by diffusers' names. Sources: ComfyUI's
/// `model_detection.py` and `supported_models.py`, stable-diffusion.cpp's `model_loader.cpp`,
/// diffusers' `single_file_utils.py` and its classes.
extension Family {
  static let transformers: [Family] =
    [
      chroma, flux2, hunyuanVideo, qwenImage, zImage, lumina2, wan, ltx, pixArt,
    ] + sd3 + flux1

  // MARK: SD 3

  private static let sd3Parts = [
    FamilyPart(prefix: "text_encoders.t5xxl.", name: ComponentName(rawValue: "text_encoder_3"))
  ]

  private static let joint: [[FamilyMark]] = [
    [
      .has(
        "joint_blocks.0.context_block.attn.qkv.weight",
        says: "prompt and image share their attention, as in SD 3")
    ],
    [
      .has("pos_embed.proj.weight"),
      .has(
        "transformer_blocks.0.attn.add_q_proj.weight",
        says: "prompt and image share their attention, as in SD 3"),
      .size("time_text_embed.text_embedder.linear_1.weight", axis: 1, [2048]),
      .lacks("single_transformer_blocks.0.attn.to_q.weight", "controlnet_blocks.0.weight"),
    ],
  ]

  private static func width(_ width: Int) -> FamilyMark {
    .size(
      "x_embedder.proj.weight", "pos_embed.proj.weight", axis: 0, [width],
      says: "\(width) wide, so \(width / 64) layers")
  }

  private static let sd3: [Family] = [
    Family(
      "sd3.5", "Stable Diffusion 3.5", part: .transformer,
      classes: ["SD3Transformer2DModel", "StableDiffusion3Pipeline"],
      fields: ["qk_norm": "rms_norm"],
      variants: [
        FamilyVariant(
          " Medium", width(1536),
          .has(
            "joint_blocks.0.x_block.attn2.qkv.weight", "transformer_blocks.0.attn2.to_q.weight",
            says: "a second attention of the image alone, as in SD 3.5 Medium")),
        FamilyVariant(" Large", width(2432)),
      ],
      parts: sd3Parts, adapter: .sd35,
      marks: joint.map {
        $0 + [
          .has(
            "joint_blocks.0.context_block.attn.ln_q.weight",
            "transformer_blocks.0.attn.norm_added_q.weight",
            says: "queries have RMS norms, as in SD 3.5")
        ]
      }),
    Family(
      "sd3", "Stable Diffusion 3", part: .transformer,
      classes: ["SD3Transformer2DModel", "StableDiffusion3Pipeline"],
      variants: [FamilyVariant(" Medium", width(1536))], parts: sd3Parts, adapter: .sd3,
      marks: joint),
  ]

  // MARK: Flux

  private static let fluxParts = [
    FamilyPart(prefix: "text_encoders.t5xxl.", name: .secondTextEncoder)
  ]

  private static let doubleBlocks: [[FamilyMark]] = [
    [
      .has(
        "double_blocks.0.img_attn.norm.key_norm.scale", "double_blocks.0.img_attn.qkv.weight",
        says: "a block for prompt and image, as in FLUX.1"),
      .has("single_blocks.0.linear1.weight"),
      .size("txt_in.weight", axis: 1, [4096], says: "prompts are T5's, 4096 wide"),
      .lacks(
        "double_blocks.0.img_mlp.gate_proj.weight", "early_stream_modulations.*",
        "controlnet_blocks.0.weight"),
    ],
    [
      .has(
        "transformer_blocks.0.attn.add_q_proj.weight",
        says: "a block for prompt and image, as in FLUX.1"),
      .has("single_transformer_blocks.0.attn.to_q.weight"),
      .has("time_text_embed.text_embedder.linear_1.weight"),
      .size("context_embedder.weight", axis: 1, [4096], says: "prompts are T5's, 4096 wide"),
      .lacks("controlnet_blocks.0.weight", "context_embedder.token_refiner.*"),
    ],
  ]

  private static func channels(_ count: Int, _ says: String) -> FamilyMark {
    .size("img_in.weight", "x_embedder.weight", axis: 1, [count], says: says)
  }

  private static func flux(
    _ id: String, _ name: String, _ pipeline: String, _ fields: JSONObject = [:],
    adapter: AdapterMark? = nil, marks: FamilyMark...
  ) -> Family {
    Family(
      id, name, part: .transformer, classes: ["FluxTransformer2DModel", pipeline], fields: fields,
      parts: fluxParts, adapter: adapter, marks: doubleBlocks.map { $0 + marks })
  }

  private static let flux1: [Family] = [
    flux(
      "flux1-fill", "FLUX.1 Fill [dev]", "FluxFillPipeline", ["in_channels": 384],
      marks: channels(384, "384 numbers for each patch go in: latents, masked latents and the mask")
    ),
    flux(
      "flux1-control", "FLUX.1 control (Depth or Canny) [dev]", "FluxControlPipeline",
      ["in_channels": 128], adapter: .flux1Control,
      marks: channels(128, "128 numbers for each patch go in: latents and those of a control image")
    ),
    flux(
      "flux1-schnell", "FLUX.1 [schnell]", "FluxPipeline", ["guidance_embeds": false],
      marks: channels(64, "64 numbers for each patch go in"),
      .lacks(
        "guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight",
        says: "the guidance scale is not embedded, as in FLUX.1 [schnell]")),
    flux(
      "flux1-dev", "FLUX.1 [dev]", "FluxPipeline", ["guidance_embeds": true], adapter: .flux1,
      marks: channels(64, "64 numbers for each patch go in"),
      .has(
        "guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight",
        says: "the guidance scale is embedded, as in FLUX.1 [dev]")),
  ]

  private static let flux2 = Family(
    "flux2", "FLUX.2", part: .transformer, classes: ["Flux2Transformer2DModel", "Flux2Pipeline"],
    variants: [
      FamilyVariant(
        " [dev]",
        .has(
          "single_blocks.47.linear1.weight",
          "single_transformer_blocks.47.attn.to_qkv_mlp_proj.weight",
          says: "48 blocks of one stream, as in FLUX.2 [dev]"))
    ],
    adapter: .flux2,
    marks: [
      [
        .has(
          "double_stream_modulation_img.lin.weight", "double_stream_modulation_img.linear.weight",
          says: "all blocks share one modulation, as in FLUX.2"),
        .lacks("controlnet_blocks.0.weight"),
      ]
    ])

  private static let chroma = Family(
    "chroma", "Chroma", part: .transformer,
    classes: ["ChromaTransformer2DModel", "ChromaPipeline"],
    variants: [
      FamilyVariant(
        " Radiance", .has("nerf_final_layer_conv.*", says: "pixels come out, as in Chroma Radiance")
      )
    ],
    parts: [FamilyPart(prefix: "text_encoders.t5xxl.", name: .textEncoder)], adapter: .chroma,
    marks: [
      [
        .has(
          "distilled_guidance_layer.norms.0.scale", "distilled_guidance_layer.norms.0.weight",
          "distilled_guidance_layer.in_proj.weight",
          says: "one network makes all modulations, as in Chroma")
      ]
    ])

  // MARK: Others

  private static let qwenImage = Family(
    "qwen-image", "Qwen-Image", part: .transformer,
    classes: [
      "QwenImageTransformer2DModel", "QwenImagePipeline", "QwenImageEditPipeline",
      "QwenImageEditPlusPipeline",
    ],
    variants: [
      FamilyVariant(
        " Layered",
        .has(
          "time_text_embed.addition_t_embedding.weight",
          says: "a layer is embedded, as in Qwen-Image Layered"))
    ],
    adapter: .qwenImage,
    marks: [
      [
        .has("txt_norm.weight", says: "the prompt is normalized, as in Qwen-Image"),
        .has("transformer_blocks.0.img_mod.1.weight", says: "the image's modulation"),
        .size("img_in.weight", axis: 1, [64], optional: true),
        .lacks("controlnet_blocks.0.weight"),
      ]
    ])

  private static let zImage = Family(
    "z-image", "Z-Image", part: .transformer,
    classes: ["ZImageTransformer2DModel", "ZImagePipeline"], adapter: .zImage,
    marks: [
      [
        .size(
          "cap_embedder.1.weight", axis: 0, [3840],
          says: "prompts are embedded 3840 wide, as in Z-Image"),
        .has(
          "noise_refiner.0.attention.k_norm.weight", "noise_refiner.0.attention.norm_k.weight",
          says: "the noisy image has layers of its own"),
        .lacks("control_all_x_embedder.*", "control_layers.*"),
      ]
    ])

  private static let lumina2 = Family(
    "lumina2", "Lumina Image 2.0", part: .transformer,
    classes: ["Lumina2Transformer2DModel", "Lumina2Pipeline", "Lumina2Text2ImgPipeline"],
    adapter: .lumina2,
    marks: [
      [
        .size(
          "cap_embedder.1.weight", "time_caption_embed.caption_embedder.1.weight", axis: 0, [2304],
          says: "prompts are embedded 2304 wide, as in Lumina Image 2.0"),
        .has(
          "noise_refiner.0.attention.k_norm.weight", "noise_refiner.0.attn.norm_k.weight",
          says: "the noisy image has layers of its own"),
      ]
    ])

  private static let wanImage = FamilyMark.has(
    "img_emb.proj.0.weight", "condition_embedder.image_embedder.norm1.weight",
    says: "an image is embedded: image to video")

  private static let wan = Family(
    "wan", "Wan", part: .transformer,
    classes: [
      "WanTransformer3DModel", "WanPipeline", "WanImageToVideoPipeline",
      "WanVACETransformer3DModel",
      "WanVACEPipeline", "WanAnimateTransformer3DModel",
    ],
    variants: [
      FamilyVariant(
        " VACE",
        .has("vace_blocks.0.*", says: "blocks for a control video, as in Wan VACE")),
      FamilyVariant(
        " Animate", .has("motion_encoder.*", says: "a motion encoder, as in Wan Animate")),
      FamilyVariant(", image to video", wanImage),
      FamilyVariant(
        " 2.2, image to video",
        .size(
          "patch_embedding.weight", axis: 1, [36],
          says: "36 input channels: latents, image latents, mask")),
      FamilyVariant(
        " 2.2, text and image to video",
        .size("patch_embedding.weight", axis: 1, [48], says: "48 input channels, as in Wan 2.2 5B")),
      FamilyVariant(
        ", text to video",
        .size("patch_embedding.weight", axis: 1, [16], says: "16 latent input channels")),
    ],
    adapter: .wan,
    marks: [
      [
        .has("head.modulation", says: "the modulation of Wan's head"),
        .has("patch_embedding.weight", "patch_embedding.bias"),
      ],
      [
        .has("blocks.0.attn2.norm_k.weight", says: "a block's attention to the prompt, as in Wan"),
        .has("condition_embedder.time_embedder.linear_1.weight"),
        .has("scale_shift_table"), .has("patch_embedding.weight"),
      ],
    ])

  private static let hunyuanVideo = Family(
    "hunyuan-video", "HunyuanVideo", part: .transformer,
    classes: [
      "HunyuanVideoTransformer3DModel", "HunyuanVideoPipeline",
      "HunyuanVideoFramepackTransformer3DModel",
    ],
    adapter: .hunyuanVideo,
    marks: [
      [
        .has(
          "txt_in.individual_token_refiner.blocks.0.norm1.weight",
          "context_embedder.token_refiner.refiner_blocks.0.norm1.weight",
          says: "the prompt's tokens are refined, as in HunyuanVideo")
      ]
    ])

  private static let ltx = Family(
    "ltx", "LTX-Video", part: .transformer,
    classes: [
      "LTXVideoTransformer3DModel", "LTXPipeline", "LTXImageToVideoPipeline",
      "LTXConditionPipeline", "LTX2VideoTransformer3DModel", "LTX2Pipeline",
    ],
    variants: [
      FamilyVariant(
        "LTX-2", replaces: true,
        .has("audio_patchify_proj.weight", "audio_proj_in.weight", says: "sound goes in too"))
    ],
    adapter: .ltx,
    marks: [
      [
        .has(
          "adaln_single.emb.timestep_embedder.linear_1.bias",
          says: "one modulation from the time step"),
        .has("patchify_proj.weight", says: "the projection of LTX-Video's patches"),
        .lacks("pos_embed.proj.bias"),
      ],
      [
        .has(
          "time_embed.emb.timestep_embedder.linear_1.bias",
          says: "one modulation from the time step"),
        .has("proj_in.weight", says: "the projection of LTX-Video's patches"),
        .has("scale_shift_table"),
        .has("transformer_blocks.0.scale_shift_table"),
        .has("caption_projection.linear_1.weight"), .lacks("pos_embed.proj.bias"),
      ],
    ])

  private static let pixArt = Family(
    "pixart", "PixArt", part: .transformer,
    classes: [
      "PixArtTransformer2DModel", "PixArtAlphaPipeline", "PixArtSigmaPipeline",
    ],
    variants: [
      FamilyVariant(
        "-α",
        .has(
          "adaln_single.emb.resolution_embedder.linear_1.weight", "csize_embedder.mlp.0.weight",
          says: "sizes are embedded, as in PixArt-α"))
    ],
    adapter: .pixArt,
    marks: [
      [
        .has(
          "adaln_single.emb.timestep_embedder.linear_1.bias",
          says: "one modulation from the time step"),
        .has("pos_embed.proj.bias", says: "patches of an image have positions, as in PixArt"),
        .size("pos_embed.proj.weight", axis: 0, [1152]),
        .lacks("temporal_transformer_blocks.*"),
      ],
      [
        .has("t_block.1.weight", says: "one modulation from the time step"),
        .has("y_embedder.y_embedding", says: "a learned empty prompt, as in PixArt"),
        .has("blocks.0.scale_shift_table"),
      ],
    ])
}
