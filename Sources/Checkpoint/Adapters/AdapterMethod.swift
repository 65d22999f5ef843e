import ModelFormats

/// The role of an adapter tensor in its layer.
enum AdapterPart: String, Hashable, Sendable {
  case down = "lora_down"
  case up = "lora_up"
  case middle = "lora_mid"
  case upBias = "lora_B.bias"
  case alpha
  case outputScale = "dora_scale"
  case magnitude = "lora_magnitude_vector"
  case hada1A = "hada_w1_a"
  case hada1B = "hada_w1_b"
  case hada2A = "hada_w2_a"
  case hada2B = "hada_w2_b"
  case hadaT1 = "hada_t1"
  case hadaT2 = "hada_t2"
  case kron1 = "lokr_w1"
  case kron1A = "lokr_w1_a"
  case kron1B = "lokr_w1_b"
  case kron2 = "lokr_w2"
  case kron2A = "lokr_w2_a"
  case kron2B = "lokr_w2_b"
  case kronT2 = "lokr_t2"
  case a1 = "a1.weight"
  case a2 = "a2.weight"
  case b1 = "b1.weight"
  case b2 = "b2.weight"
  case bm = "bm.weight"
  case shares = "weight"
  case onInput = "on_input"
  case factors = "ia3_l"
  case rotation = "oft_blocks"
  case rescale
  case difference = "diff"
  case biasDifference = "diff_b"
  case norm = "w_norm"
  case biasNorm = "b_norm"
  /// A tensor of an unsupported method.
  case foreign
}

/// A method by which adapters change the weights of a model.
///
/// Recognition, the loader and messages all use this table.
struct AdapterMethod: Sendable {
  /// Creates the change of one weight from the layer's tensors, its factor and the shape; nil if
  /// the weight does not change.
  typealias Change =
    @Sendable (AdapterLayer, Float, [Int]) throws(FormatError) -> (any WeightChange)?

  let name: String
  /// Suffixes of a layer's name, including the dot, and their roles.
  var endings: [(ending: String, part: AdapterPart)] = []
  /// Name components that PEFT appends to a layer's name; the adapter's own name and `weight` may
  /// follow.
  var components: [(component: String, part: AdapterPart)] = []
  /// Prefixes of such components, for unsupported methods.
  var foreignPrefixes: [String] = []
  /// Alternative sets of required parts.
  var needs: [[AdapterPart]] = []
  /// The divisor of alpha; nil for methods that ignore alpha.
  var rank: (@Sendable (AdapterLayer) -> Int?)?
  /// Whether the changed weight may be rescaled to learned magnitudes, as in DoRA.
  var takesMagnitude = false
  /// nil for unsupported methods.
  var weight: Change?
  /// The change of the layer's bias.
  var bias: Change?
  /// The parts that apply only to the bias.
  var biasParts: Set<AdapterPart> = []

  /// The parts that identify a layer of this method.
  var parts: Set<AdapterPart> {
    biasParts.union(endings.map(\.part) + components.map(\.part) + needs.flatMap { $0 })
      .subtracting([.onInput, .rescale])
  }

  static let all: [AdapterMethod] =
    [
      lora, loha, lokr, glora, ia3, peftIA3, oft, full, norm,
    ] + foreign

  static let lora = AdapterMethod(
    name: "LoRA",
    endings: [
      // kohya's scripts and LyCORIS.
      (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .middle),
      // diffusers before PEFT.
      (".lora.down.weight", .down), (".lora.up.weight", .up),
      (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
      ("_lora.down.weight", .down), ("_lora.up.weight", .up),
    ],
    components: [("lora_A", .down), ("lora_B", .up)],
    needs: [[.down, .up]],
    rank: { $0[.down]?.shape.dimensions.first },
    takesMagnitude: true,
    weight: { layer, factor, shape throws(FormatError) in
      try LowRankUpdate(
        factor: factor, up: layer.require(.up), down: layer.require(.down), middle: layer[.middle],
        shape: shape)
    },
    bias: { layer, factor, shape throws(FormatError) in
      try Difference(layer.require(.upBias), factor: factor, shape: shape)
    },
    biasParts: [.upBias])

  static let loha = AdapterMethod(
    name: "LoHa",
    components: [
      ("hada_w1_a", .hada1A), ("hada_w1_b", .hada1B), ("hada_w2_a", .hada2A),
      ("hada_w2_b", .hada2B), ("hada_t1", .hadaT1), ("hada_t2", .hadaT2),
    ],
    needs: [[.hada1A, .hada1B, .hada2A, .hada2B]],
    rank: { $0[.hada1B]?.shape.dimensions.first },
    takesMagnitude: true,
    weight: { layer, factor, shape throws(FormatError) in
      try HadamardUpdate(layer, factor: factor, shape: shape)
    })

  static let lokr = AdapterMethod(
    name: "LoKr",
    components: [
      ("lokr_w1", .kron1), ("lokr_w1_a", .kron1A), ("lokr_w1_b", .kron1B), ("lokr_w2", .kron2),
      ("lokr_w2_a", .kron2A), ("lokr_w2_b", .kron2B), ("lokr_t2", .kronT2),
    ],
    needs: [
      [.kron1, .kron2], [.kron1, .kron2A, .kron2B], [.kron1A, .kron1B, .kron2],
      [.kron1A, .kron1B, .kron2A, .kron2B],
    ],
    rank: { ($0[.kron2B] ?? $0[.kron1B])?.shape.dimensions.first },
    takesMagnitude: true,
    weight: { layer, factor, shape throws(FormatError) in
      try KroneckerUpdate(layer, factor: factor, shape: shape)
    })

  static let glora = AdapterMethod(
    name: "GLoRA",
    endings: [
      (".a1.weight", .a1), (".a2.weight", .a2), (".b1.weight", .b1), (".b2.weight", .b2),
      (".bm.weight", .bm),
    ],
    needs: [[.a1, .a2, .b1, .b2]],
    rank: { layer in
      // The older form has the factors in reverse order.
      layer[.a1].flatMap { a1 in
        layer[.a2].map { GeneralizedUpdate.isOlder(a1, $0, layer[.b1]) ? a1.shape : $0.shape }
      }?.dimensions.first
    },
    weight: { layer, factor, shape throws(FormatError) in
      try GeneralizedUpdate(layer, factor: factor, shape: shape)
    })

  /// LyCORIS's (IA)^3: fractions of the weight, which are added to it. Its `….weight` has no
  /// meaning without `on_input`.
  static let ia3 = AdapterMethod(
    name: "IA3",
    endings: [(".on_input", .onInput)],
    needs: [[.shares, .onInput]],
    weight: { layer, factor, shape throws(FormatError) in
      try Rescaling(shares: layer, factor: factor, shape: shape)
    })

  /// PEFT's: factors of the inputs or the outputs.
  static let peftIA3 = AdapterMethod(
    name: "IA3",
    components: [("ia3_l", .factors)],
    needs: [[.factors]],
    weight: { layer, factor, shape throws(FormatError) in
      try Rescaling(factors: layer, strength: factor, shape: shape)
    },
    bias: { layer, factor, shape throws(FormatError) in
      try Rescaling(factors: layer, strength: factor, shape: shape)
    })

  /// Orthogonal finetuning of LyCORIS and kohya, with diagonal blocks or butterflies.
  static let oft = AdapterMethod(
    name: "OFT",
    endings: [(".oft_blocks", .rotation), (".rescale", .rescale)],
    needs: [[.rotation]],
    weight: { layer, factor, shape throws(FormatError) in
      try Rotation(layer, strength: factor, shape: shape)
    })

  static let full = AdapterMethod(
    name: "full differences",
    endings: [(".diff", .difference), (".diff_b", .biasDifference)],
    needs: [[.difference], [.biasDifference]],
    weight: { layer, factor, shape throws(FormatError) in
      try Difference(layer.require(.difference), factor: factor, shape: shape)
    },
    bias: { layer, factor, shape throws(FormatError) in
      try Difference(layer.require(.biasDifference), factor: factor, shape: shape)
    },
    biasParts: [.biasDifference])

  static let norm = AdapterMethod(
    name: "differences of norms",
    endings: [(".w_norm", .norm), (".b_norm", .biasNorm)],
    needs: [[.norm], [.biasNorm]],
    weight: { layer, factor, shape throws(FormatError) in
      try Difference(layer.require(.norm), factor: factor, shape: shape)
    },
    bias: { layer, factor, shape throws(FormatError) in
      try Difference(layer.require(.biasNorm), factor: factor, shape: shape)
    },
    biasParts: [.biasNorm])

  /// Methods that are recognized but unsupported: PEFT's, by name prefixes.
  static let foreign: [AdapterMethod] =
    [
      AdapterMethod(name: "OFT of an older LyCORIS", endings: [(".oft_diag", .foreign)]),
      AdapterMethod(
        name: "T-LoRA",
        endings: [
          (".lambda_layer", .foreign), (".p_layer.weight", .foreign), (".q_layer.weight", .foreign),
        ]),
      AdapterMethod(name: "LoRA of embeddings", foreignPrefixes: ["lora_embedding_"]),
      AdapterMethod(name: "AdaLoRA", foreignPrefixes: ["lora_E"]),
      AdapterMethod(name: "BOFT of PEFT", foreignPrefixes: ["boft_R", "boft_s"]),
      AdapterMethod(name: "OFT of PEFT", foreignPrefixes: ["oft_r", "oft_R", "oft_s"]),
      AdapterMethod(name: "MiSS", foreignPrefixes: ["miss_block", "bone_block"]),
      AdapterMethod(name: "RoAd", foreignPrefixes: ["road_theta", "road_alpha"]),
      AdapterMethod(name: "Poly", foreignPrefixes: ["poly_lora_", "poly_router"]),
    ]
    + [
      ("VeRA", "vera_lambda_"), ("PVeRA", "pvera_lambda_"), ("FourierFT", "fourierft_"),
      ("HRA", "hra_u"), ("VB-LoRA", "vblora_"), ("RandLoRA", "randlora_"),
      ("SHiRA", "shira_weight"), ("DeLoRA", "delora_"), ("C3A", "c3a_kernel"),
      ("WaveFT", "waveft_"), ("GraLoRA", "gralora_"), ("HiRA", "hira_"), ("X-LoRA", "xlora_"),
      ("LN tuning", "ln_tuning_layers"), ("trainable tokens", "trainable_tokens_"),
      ("TinyLoRA", "tinylora_"), ("GLoRA of PEFT", "glora_"), ("PSOFT", "psoft_R"),
      ("OSF", "osf_svd_"),
    ].map { AdapterMethod(name: $0.0, foreignPrefixes: [$0.1]) }

  /// Suffixes shared by several methods.
  private static let shared: [(ending: String, part: AdapterPart)] = [
    (".alpha", .alpha), (".dora_scale", .outputScale),
  ]
  private static let sharedComponents: [(component: String, part: AdapterPart)] = [
    ("lora_magnitude_vector", .magnitude)
  ]

  /// A parsed tensor name.
  struct Name {
    /// The layer's name in the file.
    let layer: String
    let part: AdapterPart
    /// nil for parts shared by several methods.
    let method: Int?
  }

  private static let allEndings: [(ending: String, part: AdapterPart, method: Int?)] =
    shared.map { ($0.ending, $0.part, nil) }
    + all.enumerated().flatMap { index, method in
      method.endings.map { ($0.ending, $0.part, index) }
    }
  private static let allComponents: [String: (part: AdapterPart, method: Int?)] = {
    var result: [String: (part: AdapterPart, method: Int?)] = [:]
    for (component, part) in sharedComponents { result[component] = (part, nil) }
    for (index, method) in all.enumerated() {
      for (component, part) in method.components { result[component] = (part, index) }
    }
    return result
  }()
  private static let allPrefixes: [(prefix: String, method: Int)] =
    all.enumerated().flatMap { index, method in method.foreignPrefixes.map { ($0, index) } }

  /// XLabs' processors of a FLUX.1 block have a LoRA for the image and one for the prompt:
  /// `double_blocks.0.processor.qkv_lora1.down.weight`, `…qkv_lora2…`.
  private static let streams = [("_lora1.", "_img_lora."), ("_lora2.", "_txt_lora.")]

  /// Whether any of a file's names could be an adapter's: a quick check before ``split(_:)``, which
  /// parses names one by one.
  static func mayBeNamed(in names: NameText) -> Bool {
    (allEndings.map(\.ending) + [".on_input"]).contains {
      names.first(containing: $0, isAtEnd: true) != nil
    }
      || (allComponents.keys.map { ".\($0)" } + allPrefixes.map { ".\($0.prefix)" }
        + streams.map(\.0)).contains(where: names.contains)
  }

  /// The layer and the tensor's role; nil for other tensors.
  static func split(_ name: String) -> Name? {
    for (stream, spelling) in streams where name.contains(stream) {
      return split(name.replacing(stream, with: spelling))
    }
    for (ending, part, method) in allEndings where name.hasSuffix(ending) {
      return Name(layer: String(name.dropLast(ending.count)), part: part, method: method)
    }
    var parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let isBias = parts.last == "bias"
    if isBias || parts.last == "weight" { parts.removeLast() }
    // The adapter's own name may follow the component: `….lora_A.default.weight`.
    for _ in 0..<2 {
      guard parts.count > 1, let last = parts.popLast() else { return nil }
      if let (part, method) = allComponents[String(last)] {
        guard !isBias || part == .up else { return nil }
        return Name(
          layer: parts.joined(separator: "."), part: isBias ? .upBias : part, method: method)
      }
      if let method = allPrefixes.first(where: { last.hasPrefix($0.prefix) })?.method {
        return Name(layer: parts.joined(separator: "."), part: .foreign, method: method)
      }
    }
    return nil
  }
}
