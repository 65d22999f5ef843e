import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// How a checkpoint is described, and by which tensors.
@Suite struct RecognitionTests {
  typealias Entry = (name: String, shape: [Int])

  static func recognize(_ tensors: [Tensor]) -> Recognition {
    Recognition(
      ModelCheckpoint.of(TensorFile(path: "weights", format: .safetensors, tensors: tensors)))
  }

  static func tensors(_ entries: [Entry]) -> [Tensor] {
    entries.map {
      Tensor(name: $0.name, dtype: .float32, shape: Shape($0.shape), storage: .memory([]))
    }
  }

  struct Whole: Sendable {
    let size: String
    let kind: Recognition.Kind
    let says: String
  }

  static let wholes = [
    Whole(size: "v1.5", kind: .stableDiffusion1, says: "attn2.to_k.weight [320, 768]"),
    Whole(
      size: "v1.5 inpainting", kind: .stableDiffusion1Inpainting,
      says: "[320, 9, 3, 3]: 9 input channels"
    ),
    Whole(size: "2.x", kind: .stableDiffusion2, says: "v-prediction) unknown"),
    Whole(size: "narrow", kind: .stableDiffusionVariant, says: "32, 64, 128, 128"),
  ]

  @Test(
    arguments: wholes, [Naming.published, Naming(.singleFile, prefix: "model.diffusion_model.")])
  func networksAreToldByTheirShapes(whole: Whole, naming: Naming) throws {
    let unet = try #require(
      SpelledNetwork.all.first { $0.size == whole.size && $0.architecture == .unet })
    let recognition = RecognitionTests.recognize(try unet.tensors(naming))
    #expect(recognition.kind == whole.kind)
    #expect(recognition.reasons.contains { $0.contains(whole.says) }, "\(recognition.reasons)")
    #expect(recognition.title.hasSuffix("UNet only"))
  }

  /// The architecture names of stable-diffusion.cpp and ComfyUI, for models with unique names.
  @Test func onlyWholeModelsHaveAWordInGGUF() {
    let words = Dictionary(
      uniqueKeysWithValues: Recognition.Kind.allCases.compactMap { kind in
        kind.ggufArchitecture.map { (kind.rawValue, $0) }
      })
    #expect(
      words == [
        "sd1": "sd1", "sd1-inpainting": "sd1", "sd2": "sd2", "sd2-inpainting": "sd2",
        "sdxl": "sdxl",
      ])
  }

  @Test func partsAloneAreNamed() throws {
    for network in SpelledNetwork.all where network.architecture != .unet {
      let recognition = RecognitionTests.recognize(try network.tensors(.published))
      #expect(recognition.kind == (network.architecture == .vae ? .vae : .textEncoder))
      #expect(!recognition.reasons.isEmpty)
    }
  }

  static let others: [(Recognition.Kind, String, [Entry])] = [
    (
      .stableDiffusionXL, "label_emb",
      [
        ("model.diffusion_model.input_blocks.0.0.weight", [320, 4, 3, 3]),
        ("model.diffusion_model.label_emb.0.0.weight", [1280, 2816]),
      ]
    ),
    (
      .controlNet, "input_hint_block",
      [
        ("control_model.input_blocks.0.0.weight", [320, 4, 3, 3]),
        ("control_model.input_hint_block.0.weight", [16, 3, 3, 3]),
      ]
    ),
    (
      .controlNet, "controlnet_cond_embedding",
      [
        ("conv_in.weight", [320, 4, 3, 3]),
        ("controlnet_cond_embedding.conv_in.weight", [16, 3, 3, 3]),
      ]
    ),
    (.tinyAutoencoder, "[64, 64, 3, 3]", [("3.conv.0.weight", [64, 64, 3, 3])]),
    (
      .tinyAutoencoder, "decoder.layers.3",
      [
        ("decoder.layers.3.conv.0.weight", [64, 64, 3, 3]),
        ("encoder.layers.0.weight", [64, 3, 3, 3]),
      ]
    ),
    (.textualInversion, "2 vectors of 768", [("string_to_param.*", [2, 768])]),
    (.textualInversion, "1 vector of 1024", [("emb_params", [1, 1024])]),
    (.textualInversion, "diffusers", [("<cat-toy>", [768])]),
    (
      .lora, "rank is 8",
      [
        ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", [8, 320]),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight", [320, 8]),
        ("lora_unet_down_blocks_0_attentions_0_proj_in.alpha", []),
      ]
    ),
    (
      .lora, "it changes 1 weight of the UNet and 1 of the text encoder",
      [
        ("unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", [4, 320]),
        ("unet.down_blocks.0.attentions.0.proj_in.lora_B.weight", [320, 4]),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", [4, 768]),
        ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight", [3072, 4]),
      ]
    ),
    (
      .lora, "cross_attention_dim 768",
      [
        ("down_blocks.0.attentions.0.attn2.processor.to_k_lora.down.weight", [4, 768]),
        ("down_blocks.0.attentions.0.attn2.processor.to_k_lora.up.weight", [320, 4]),
      ]
    ),
    (.lora, "LoHa", [("lora_unet_conv_in.hada_w1_a", [320, 4])]),
    (.hypernetwork, "768.0.linear.0.weight", [("768.0.linear.0.weight", [1536, 768])]),
    (
      .latentPreview, "conv1.weight [8, 4, 7, 7]",
      (1...8).map { ("conv\($0).weight", [8, 4, 7, 7]) }
    ),
    (.unknown, "fc.weight", [("fc.weight", [10, 10])]),
    (.unknown, "no tensors", []),
  ]

  @Test(arguments: others.indices)
  func othersAreToldByTheirNames(index: Int) {
    let (kind, says, entries) = RecognitionTests.others[index]
    let recognition = RecognitionTests.recognize(RecognitionTests.tensors(entries))
    #expect(recognition.kind == kind)
    #expect(recognition.reasons.contains { $0.contains(says) }, "\(recognition.reasons)")
    // A training checkpoint's wrapper changes nothing.
    let wrapped = RecognitionTests.tensors(entries.map { ("state_dict." + $0.name, $0.shape) })
    #expect(RecognitionTests.recognize(wrapped).kind == kind)
  }

  /// Real third-party files, if this checkout has them.
  static let corpus: [(String, Recognition.Kind)] = [
    ("stable-diffusion-webui-forge__models__VAE-approx__model.pt", .latentPreview),
    ("stable-diffusion-v1.5-lora__pytorch_lora_weights.safetensors", .lora),
    ("stable-diffusion-v1.5-lora__pytorch_lora_weights.bin", .lora),
    ("diffusion-nbs__learned_embeds.bin", .textualInversion),
    ("taesd__taef2_decoder.pth", .tinyAutoencoder),
  ]

  @Test(
    .shared("corpus"),
    arguments: corpus)
  func realFilesAreRecognized(name: String, kind: Recognition.Kind) throws {
    let path = try #require(Fixtures.shared("corpus/\(name)"))
    #expect(Recognition(try ModelCheckpoint.open(path)).kind == kind)
  }

  /// An SD 2.x repository's scheduler says what its UNet predicts.
  @Test(arguments: [
    ("v_prediction", "Stable Diffusion 2.x (v-prediction), UNet only"),
    ("epsilon", "Stable Diffusion 2.x, UNet only"),
  ])
  func schedulersTellWhatIsPredicted(type: String, title: String) throws {
    let scratch = try Scratch()
    let path = try scratch.write(
      "{\"prediction_type\": \"\(type)\"}", as: "scheduler_config.json")
    let network = try #require(
      SpelledNetwork.all.first { $0.size == "2.x" && $0.architecture == .unet })
    let unet = Component(
      name: .unet, architecture: network.architecture.className,
      configuration: Configuration(object: network.configuration, path: "config.json"),
      path: "weights", format: .safetensors, tensors: try network.tensors(.published))
    let recognition = Recognition(
      ModelCheckpoint(
        path: scratch.path, layout: .repository, components: [unet],
        files: [try AuxiliaryFile(path: "scheduler/scheduler_config.json", at: path)]))
    #expect(recognition.title == title)
    #expect(recognition.reasons.last?.contains(type) == true)
  }
}
