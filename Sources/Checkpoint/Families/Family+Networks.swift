/// Networks used with a model or modifying one, and encoders shared by models.
extension Family {
  package static let all: [Family] = adapters + transformers + stableDiffusion + encoders + small

  /// Rows tested before LoRA: their files also contain low-rank factors.
  static let beforeLoRA: Set<String> = ["ip-adapter", "control-lora"]

  // MARK: On top of a model

  static let adapters: [Family] = [
    Family(
      "ip-adapter", "IP-Adapter", classes: ["IPAdapter"],
      variants: [
        FamilyVariant(
          " FaceID",
          .has(
            "ip_adapter.0.to_k_lora.*", "ip_adapter.0.to_q_lora.*",
            says: "it has a LoRA beside, as FaceID")),
        FamilyVariant(
          " Plus",
          .has("image_proj.latents", says: "learned queries look at the image, as in Plus")),
        FamilyVariant(
          " Full Face", .has("image_proj.proj.3.weight", says: "layers project all of the image")),
      ],
      parts: [
        FamilyPart(prefix: "image_proj.", name: ComponentName(rawValue: "image_proj")),
        FamilyPart(prefix: "ip_adapter.", name: ComponentName(rawValue: "ip_adapter")),
      ],
      marks: [
        [
          .has("image_proj.*", says: "the projection of an image's embedding"),
          .has("ip_adapter.*", says: "keys and values of that image for each cross-attention"),
        ]
      ]),
    Family(
      "control-lora", "Control-LoRA",
      marks: [[.has("lora_controlnet", says: "a ControlNet as low-rank differences to the UNet")]]),
    Family(
      "lora", "LoRA", .lora, isDrawn: true, marks: []),
    Family("embedding", "textual inversion embedding", .textualInversion, isDrawn: true, marks: []),
    Family("hypernetwork", "hypernetwork", .hypernetwork, marks: []),
    Family(
      "controlnet", "ControlNet", .controlNet, isDrawn: true, part: .controlNet,
      classes: [
        "ControlNetModel", "ControlNetUnionModel", "ControlNetXSAdapter", "SparseControlNetModel",
      ],
      marks: [
        [
          .has(
            "*controlnet_cond_embedding.conv_in.weight", "*input_hint_block.0.weight",
            says: "a ControlNet's embedding of its picture"),
          // A complete UNet would have an output.
          .lacks("*conv_norm_out.weight", "model.diffusion_model.out.2.weight"),
        ]
      ]),
    Family(
      "controlnet", "ControlNet for a diffusion transformer", .controlNet, part: .controlNet,
      marks: [
        [.has("controlnet_blocks.0.weight", says: "what a ControlNet adds to the first block")],
        [.has("control_all_x_embedder.*", "control_layers.0.*", says: "a ControlNet's layers")],
      ]),
    Family(
      "controlnet", "ControlNet-LLLite", part: ComponentName(rawValue: "controlnet_lllite"),
      marks: [
        [
          .has("lllite_unet_*", says: "small networks that add a picture's embedding to attention"),
          .has("*.cond_emb.0.weight", "*.conditioning1.0.weight"),
        ]
      ]),
    Family(
      "t2i-adapter", "T2I-Adapter", part: ComponentName(rawValue: "t2i_adapter"),
      classes: ["T2IAdapter"],
      marks: [
        [
          .has(
            "adapter.body.0.*", says: "residual blocks whose sums are added to a UNet's levels"),
          .lacks("time_embed.0.weight", "time_embedding.linear_1.weight"),
        ],
        [
          .has(
            "body.0.block1.weight", "body.0.in_conv.weight", "body.0.resnets.0.block1.weight",
            says: "residual blocks whose sums are added to a UNet's levels"),
          .lacks("time_embed.0.weight", "time_embedding.linear_1.weight"),
        ],
      ]),
    Family(
      "motion-module", "AnimateDiff motion module",
      part: ComponentName(rawValue: "motion_module"), classes: ["MotionAdapter"],
      variants: [
        FamilyVariant(
          " for Stable Diffusion XL",
          .size(
            "up_blocks.2.motion_modules.0.norm.weight",
            "up_blocks.2.motion_modules.0.temporal_transformer.norm.weight", axis: 0, [320],
            says: "its last level is that of SDXL")),
        FamilyVariant(
          " v2",
          .has("mid_block.motion_modules.*", says: "the middle block has one too, as in v2")),
      ],
      adapter: AdapterMark.motion,
      marks: [
        [
          .has("*motion_modules.*", says: "layers over time, one beside each block of a UNet"),
          .lacks("conv_in.weight", "input_blocks.0.0.weight"),
        ]
      ]),
  ]

  // MARK: Encoders

  static let encoders: [Family] = [
    Family(
      "safety-checker", "safety checker", part: .safetyChecker,
      classes: ["StableDiffusionSafetyChecker"],
      marks: [
        [
          .has("concept_embeds", says: "concepts that images are compared with"),
          .has("special_care_embeds"),
        ]
      ]),
    Family(
      "vae", "video VAE", .vae, part: .vae,
      classes: [
        "AutoencoderKLWan", "AutoencoderKLQwenImage", "AutoencoderKLLTXVideo",
        "AutoencoderKLHunyuanVideo", "AutoencoderKLTemporalDecoder",
      ],
      marks: [
        [
          .has(
            "decoder.middle.0.residual.0.gamma", "encoder.middle.0.residual.0.gamma",
            "decoder.mid_block.resnets.0.norm1.gamma", "encoder.mid_block.resnets.0.norm1.gamma",
            "encoder.conv_in.conv.weight", "decoder.conv_in.conv.weight",
            "*time_mixer.mix_factor", says: "layers over time"),
          .has("*coder.*"),
          .lacks("*transformer_blocks.0.*"),
        ]
      ]),
    Family(
      "vae", "VAE", .vae, isDrawn: true, part: .vae,
      classes: [
        "AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderDC", "ConsistencyDecoderVAE",
        "AsymmetricAutoencoderKL",
      ],
      marks: [[.has("encoder.conv_in.weight")], [.has("decoder.conv_in.weight")]]),
    Family(
      "clip", "CLIP", .textEncoder, part: .textEncoder,
      classes: ["CLIPModel"],
      parts: [
        FamilyPart(prefix: "vision_model.", name: .imageEncoder),
        FamilyPart(prefix: "visual_projection.", name: .imageEncoder),
        FamilyPart(prefix: "visual.", name: .imageEncoder),
      ],
      marks: [
        [
          .has("text_model.embeddings.token_embedding.weight", says: "the table of its text model"),
          .has(
            "vision_model.embeddings.patch_embedding.weight", says: "patches of its vision model"),
          .lacks("concept_embeds"),
        ],
        [
          .has("token_embedding.weight", says: "the table of its text model"),
          .has("visual.conv1.weight", says: "patches of its vision model"),
        ],
      ]),
    Family(
      "clip", "CLIP vision model", part: .imageEncoder,
      classes: ["CLIPVisionModelWithProjection", "CLIPVisionModel"],
      marks: [
        [
          .has(
            "vision_model.embeddings.patch_embedding.weight", "embeddings.patch_embedding.weight",
            says: "patches of an image are embedded"),
          .has("vision_model.pre_layrnorm.weight", "pre_layrnorm.weight"),
          .lacks("concept_embeds"),
        ],
        [
          .has("conv1.weight", says: "patches of an image are embedded"),
          .has("class_embedding"), .has("transformer.resblocks.0.attn.in_proj_weight"),
        ],
        [
          .has("v.patch_embd.weight", says: "patches of an image are embedded"),
          .has("v.blk.0.attn_q.weight"),
        ],
      ]),
    Family(
      "clip", "text encoder", .textEncoder, isDrawn: true, part: .textEncoder,
      classes: ["CLIPTextModel", "CLIPTextModelWithProjection"],
      marks: [
        [
          .has(
            "text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight")
        ]
      ]),
    Family(
      "clip", "text encoder", .textEncoder, part: .textEncoder,
      marks: [
        [
          .has("token_embedding.weight"),
          .has(
            "transformer.resblocks.0.attn.in_proj_weight",
            says: "a layer, as OpenCLIP names it"),
        ]
      ]),
    Family(
      "t5", "T5 encoder", .textEncoder, part: .textEncoder,
      classes: ["T5EncoderModel", "UMT5EncoderModel", "MT5EncoderModel"],
      variants: [
        FamilyVariant(
          "UMT5 encoder", replaces: true,
          .has(
            "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight",
            "enc.blk.1.attn_rel_b.weight",
            says: "every layer has positions of its own, as in UMT5")),
        FamilyVariant(
          "T5", replaces: true,
          .has(
            "decoder.block.0.layer.0.SelfAttention.q.weight",
            says: "it has a decoder too")),
      ],
      marks: [
        [
          .has(
            "encoder.block.0.layer.0.SelfAttention.q.weight", "enc.blk.0.attn_q.weight",
            says: "a block of T5's encoder")
        ]
      ]),
    languageModel,
  ]

  /// Qwen, Gemma, Mistral, Llama: prompt encoders of newer models.
  static let languageModel = Family(
    "other", "language model", .textEncoder, part: .textEncoder,
    variants: [
      FamilyVariant(
        " with a vision model",
        .has("visual.blocks.0.*", "model.visual.*", "vision_tower.*", says: "it sees images too"))
    ],
    marks: [
      [
        .has(
          "layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight",
          "language_model.layers.0.self_attn.q_proj.weight",
          "model.layers.0.self_attn.q_proj.weight",
          says: "a decoder's layer, as in Qwen, Gemma, Llama"),
        .has(
          "embed_tokens.weight", "token_embd.weight", "language_model.embed_tokens.weight",
          "model.embed_tokens.weight"),
      ]
    ])

  // MARK: Small networks, told by functions of their own

  static let small: [Family] = [
    Family(
      "latents", "latents of one picture or several, as ComfyUI saves them",
      part: ComponentName(rawValue: "latents"),
      marks: [
        [
          .has("latent_tensor", says: "latents, and no weights"),
          .has("latent_format_version_0", "latent_tensor"),
        ]
      ]),
    Family(
      "tiny-autoencoder", "tiny autoencoder (as TAESD)", .tinyAutoencoder, isDrawn: true,
      part: .tinyAutoencoder, classes: ["AutoencoderTiny"], marks: []),
    Family("latent-preview", "latent preview (VAE-approx)", .latentPreview, marks: []),
    Family("other", "something else", .unknown, adapter: .anyTransformer, marks: []),
  ]

  /// The id of models that are only known by their kind.
  static func id(of kind: Recognition.Kind) -> String {
    switch kind {
    case .textEncoder: "clip"
    case .textualInversion: "embedding"
    case .stableDiffusionVariant: "custom-sd"
    case .onnxModel, .unknown: "other"
    default: kind.rawValue
    }
  }
}
