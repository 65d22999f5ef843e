import Checkpoint
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Adapters' descriptions: method, model, and what they change.
@Suite struct AdapterRecognitionTests {
  private static let query = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"

  private static func recognize(
    _ entries: [RecognitionTests.Entry], metadata: [(key: String, value: String)] = []
  ) -> Recognition {
    Recognition(
      ModelCheckpoint.of(
        TensorFile(
          path: "weights", format: .safetensors, metadata: metadata,
          tensors: RecognitionTests.tensors(entries))))
  }

  private static let kohya = "lora_unet_" + query

  static let methods: [(title: String, tensors: [RecognitionTests.Entry])] = [
    (
      "LoRA for Stable Diffusion 1.x",
      [(".lora_down.weight", [4, 768]), (".lora_up.weight", [320, 4]), (".alpha", [])]
    ),
    (
      "DoRA for Stable Diffusion 2.x",
      [
        (".lora_down.weight", [4, 1024]), (".lora_up.weight", [320, 4]), (".dora_scale", [320, 1]),
      ]
    ),
    (
      "LoHa for Stable Diffusion 1.x",
      [
        (".hada_w1_a", [320, 4]), (".hada_w1_b", [4, 768]), (".hada_w2_a", [320, 4]),
        (".hada_w2_b", [4, 768]),
      ]
    ),
    (
      "LoKr with DoRA for Stable Diffusion 1.x",
      [
        (".lokr_w1", [16, 24]), (".lokr_w2_a", [20, 4]), (".lokr_w2_b", [4, 32]),
        (".dora_scale", [320, 1]),
      ]
    ),
    ("IA3 for Stable Diffusion 1.x or 2.x", [(".weight", [320]), (".on_input", [])]),
    ("OFT for Stable Diffusion 1.x or 2.x", [(".oft_blocks", [4, 80, 80]), (".alpha", [])]),
    ("BOFT for Stable Diffusion 1.x or 2.x", [(".oft_blocks", [3, 80, 4, 4])]),
    (
      "GLoRA for Stable Diffusion 1.x",
      [
        (".a1.weight", [768, 4]), (".a2.weight", [4, 768]), (".b1.weight", [320, 4]),
        (".b2.weight", [4, 768]),
      ]
    ),
    (
      "full differences for Stable Diffusion 1.x", [(".diff", [320, 768]), (".diff_b", [320])]
    ),
    (
      "T-LoRA for Stable Diffusion 1.x or 2.x",
      [(".lambda_layer", [1, 4]), (".p_layer.weight", [320, 4])]
    ),
  ]

  @Test(arguments: methods.indices)
  func methodsAreNamed(index: Int) {
    let (title, tensors) = Self.methods[index]
    let recognition = Self.recognize(tensors.map { (Self.kohya + $0.name, $0.shape) })
    #expect(recognition.kind == .lora)
    #expect(recognition.title == title)
    #expect(recognition.reasons.contains("it changes 1 weight of the UNet"))
  }

  static let families: [(title: String, changes: String, layers: [(String, [Int])])] = [
    (
      "LoRA for FLUX.1", "2 weights of the transformer",
      [
        ("transformer.transformer_blocks.0.attn.to_q", [3072, 3072]),
        ("transformer.single_transformer_blocks.0.attn.to_q", [3072, 3072]),
      ]
    ),
    (
      "LoRA for FLUX.1", "1 weight of the transformer and 1 of the text encoder",
      [
        ("lora_unet_double_blocks_0_img_attn_qkv", [9216, 3072]),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", [3072, 768]),
      ]
    ),
    (
      "LoRA for FLUX.1", "of the transformer",
      [("lora_transformer_single_transformer_blocks_0_proj_out", [3072, 15360])]
    ),
    (
      "LoRA for FLUX.2", "of the transformer",
      [("diffusion_model.double_blocks.0.img_attn.qkv", [18432, 6144])]
    ),
    (
      "LoRA for Stable Diffusion 3", "of the transformer",
      [("lora_unet_joint_blocks_0_x_block_attn_qkv", [4608, 1536])]
    ),
    (
      "LoRA for Stable Diffusion 3.5 Large", "of the transformer",
      [("transformer.transformer_blocks.0.attn.to_q", [2432, 2432])]
    ),
    (
      "LoRA for Stable Diffusion XL", "1 of the second text encoder",
      [
        ("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", [640, 640]),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", [5120, 1280]),
      ]
    ),
    (
      "LoRA for Qwen-Image", "of the transformer",
      [("transformer.transformer_blocks.0.img_mlp.net.2", [3072, 12288])]
    ),
    (
      "LoRA for Wan", "of the transformer",
      [("diffusion_model.blocks.0.self_attn.q", [5120, 5120])]
    ),
    (
      "LoRA for Z-Image", "of the transformer",
      [("diffusion_model.layers.0.attention.to_q", [3840, 3840])]
    ),
    (
      "LoRA for HunyuanVideo", "of the transformer",
      [("diffusion_model.double_blocks.0.img_mlp.fc1", [12288, 3072])]
    ),
    (
      "LoRA for PixArt", "of the transformer",
      [("base_model.model.transformer_blocks.0.attn1.to_q", [1152, 1152])]
    ),
    (
      "LoRA for Stable Diffusion 1.x", "1 weight of the text encoder",
      [("lora_te_text_model_encoder_layers_0_self_attn_q_proj", [768, 768])]
    ),
    (
      "LoRA for Stable Diffusion 2.x", "1 weight of the text encoder",
      [("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", [1024, 1024])]
    ),
    // A kohya LoRA of FLUX.1 changes its modulation too.
    (
      "LoRA for FLUX.1", "2 weights of the transformer",
      [
        ("lora_unet_double_blocks_0_img_mod_lin", [18432, 3072]),
        ("lora_unet_double_blocks_0_img_attn_qkv", [9216, 3072]),
      ]
    ),
    (
      "LoRA for FLUX.1 (Depth or Canny)", "2 weights of the transformer",
      [("img_in", [3072, 128]), ("double_blocks.0.img_attn.proj", [3072, 3072])]
    ),
    // Attention only: FLUX.1 has 19 such blocks.
    (
      "LoRA for Qwen-Image", "2 weights of the transformer",
      [
        ("transformer.transformer_blocks.0.attn.to_q", [3072, 3072]),
        ("transformer.transformer_blocks.59.attn.to_q", [3072, 3072]),
      ]
    ),
    (
      "LoRA for HunyuanVideo", "of the transformer",
      [("lora_unet_double_blocks_19_img_attn_qkv", [9216, 3072])]
    ),
    (
      "LoRA for HunyuanVideo", "of the transformer",
      [("transformer.single_transformer_blocks.39.attn.to_q", [3072, 3072])]
    ),
    (
      "LoRA for FLUX.2", "of the transformer",
      [("diffusion_model.single_blocks.0.linear1", [27648, 3072])]
    ),
    (
      "LoRA for a diffusion transformer", "of the transformer",
      [("transformer.transformer_blocks.0.attn1.to_q", [3072, 3072])]
    ),
    (
      "LoRA for a diffusion transformer", "of the transformer",
      [("transformer.joint_transformer_blocks.0.attn.to_q", [3072, 3072])]
    ),
    (
      "LoRA for the refiner of Stable Diffusion XL", "of the UNet",
      [("lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k", [768, 1280])]
    ),
    (
      "LoRA for AnimateDiff", "of the UNet",
      [("unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q", [320, 320])]
    ),
  ]

  @Test(arguments: families.indices)
  func familiesAreNamed(index: Int) {
    let (title, changes, layers) = Self.families[index]
    let recognition = Self.recognize(
      layers.flatMap { name, shape in
        [(name + ".lora_A.weight", [4, shape[1]]), (name + ".lora_B.weight", [shape[0], 4])]
      })
    #expect(recognition.title == title)
    #expect(recognition.reasons.contains { $0.contains(changes) }, "\(recognition.reasons)")
  }

  /// transformers names CLIP's layers with and without `text_model`.
  @Test(
    arguments: [
      "lycoris_encoder_layers_0_mlp_fc1", "lycoris_text_model_encoder_layers_0_mlp_fc1",
      "text_encoder.encoder.layers.0.mlp.fc1", "base_model.model.encoder.layers.0.mlp.fc1",
      "base_model.model.text_model.encoder.layers.0.mlp.fc1",
    ])
  func textEncodersAreNamed(module: String) {
    let recognition = Self.recognize([
      (module + ".lora_A.weight", [4, 768]), (module + ".lora_B.weight", [3072, 4]),
    ])
    #expect(recognition.reasons.contains("it changes 1 weight of the text encoder"))
  }

  /// A trainer's metadata is quoted, and determines the family if shapes do not.
  @Test func metadataIsQuoted() {
    let recognition = Self.recognize(
      [
        ("lora_unet_time_embedding_linear_1.lora_down.weight", [4, 320]),
        ("lora_unet_time_embedding_linear_1.lora_up.weight", [1280, 4]),
      ],
      metadata: [
        ("ss_base_model_version", "sd_v1"), ("ss_network_dim", "4"), ("ss_network_alpha", "2"),
      ])
    #expect(recognition.title == "LoRA for Stable Diffusion 1.x")
    #expect(recognition.reasons.contains { $0.contains("ss_network_dim 4, ss_network_alpha 2") })
    let newer = Self.recognize(
      [("lora_unet_a.lora_down.weight", [4, 320]), ("lora_unet_a.lora_up.weight", [1280, 4])],
      metadata: [("modelspec.architecture", "stable-diffusion-3-5-large/lora")])
    #expect(newer.title == "LoRA for Stable Diffusion 3.5 Large")
  }

  /// A trainer's metadata decides between families with identical layers; the ids are those of the
  /// one table.
  @Test func basesHaveIds() throws {
    let layers: [RecognitionTests.Entry] = [
      ("diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight", [4, 3072]),
      ("diffusion_model.double_blocks.0.img_attn.proj.lora_B.weight", [3072, 4]),
    ]
    let flux = Self.recognize(layers)
    #expect(flux.base == .init(ids: ["flux1-dev", "flux1-schnell"], name: "FLUX.1"))
    let chroma = Self.recognize(layers, metadata: [("modelspec.architecture", "chroma/lora")])
    #expect(chroma.base == .init(ids: ["chroma"], name: "Chroma"))
    #expect(chroma.familyJSON["base"]?["ids"]?.array?.first?.string == "chroma")
    let known = Set(Family.all.map(\.id))
    for row in Family.all {
      #expect(known.isSuperset(of: row.adapterIDs))
    }
    #expect(Self.recognize([("conv_in.weight", [320, 4, 3, 3])]).base == nil)
  }

  /// XLabs' LoRAs have two for each block's projections: one of the image, one of the prompt.
  @Test func processorsOfTwoStreams() {
    let recognition = Self.recognize(
      ["qkv_lora1", "qkv_lora2", "proj_lora1", "proj_lora2"].flatMap { name in
        let module = "double_blocks.0.processor." + name
        return [
          (module + ".down.weight", [16, 3072]),
          (module + ".up.weight", [name.hasPrefix("qkv") ? 9216 : 3072, 16]),
        ]
      })
    #expect(recognition.title == "LoRA for FLUX.1")
    #expect(recognition.reasons.contains("it changes 4 weights of the transformer"))
  }

  /// Names shared with other networks do not make a file an adapter.
  @Test func othersAreNoAdapters() {
    for entries: [RecognitionTests.Entry] in [
      [("a1.weight", [4, 4]), ("x.a1.weight", [4, 4]), ("x.b1.weight", [4, 4])],
      [("act.alpha", [4]), ("conv.weight", [4, 4])],
      [("x.weight", [4]), ("y.weight", [4]), ("y.rescale", [4]), ("z.weight", [4])],
    ] {
      #expect(Self.recognize(entries).kind != .lora)
    }
  }

  @Test func bundledWordsAreNamed() {
    let recognition = Self.recognize([("bundle_emb.cat.string_to_param.*", [2, 768])])
    #expect(recognition.kind == .lora)
    #expect(recognition.reasons.contains("it bundles textual inversions: cat"))
  }
}
