import CKernels
import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Low-rank adapters: names, factors, sums.
@Suite struct LoRATests {
  /// Values of a small pseudo-random sequence, exact in F16.
  private struct Values {
    var state: UInt32 = 1

    mutating func next(_ count: Int) -> [Float] {
      (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return Float(Int32(state >> 20) - 2048) / 4096
      }
    }
  }

  /// A tensor of a file to be written.
  private struct Entry {
    let name: String
    let shape: [Int]
    let values: [Float]
  }

  /// Writes F32 tensors as safetensors, without the library under test.
  private func write(
    _ entries: [Entry], metadata: [String: String] = [:], to path: String
  ) throws {
    var header = JSONObject()
    if !metadata.isEmpty {
      var object = JSONObject()
      for (key, value) in metadata { object[key] = .string(value) }
      header["__metadata__"] = .object(object)
    }
    var body: [UInt8] = []
    for entry in entries {
      let start = body.count
      for value in entry.values {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { body += $0 }
      }
      header[entry.name] = [
        "dtype": "F32", "shape": .array(entry.shape.map { .integer($0) }),
        "data_offsets": [.integer(start), .integer(body.count)],
      ]
    }
    let text = Array(JSON.object(header).text(.compact).utf8)
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    try Data(length + text + body).write(to: URL(filePath: path))
  }

  private func components() throws -> [Component] {
    try ModelCheckpoint.open(Fixtures.path("shapes-v2")).components
  }

  /// What a weight becomes with its updates, in float32.
  private func sums(_ tensor: Tensor, _ updates: [WeightUpdate]) throws -> [Float] {
    var values: [Float] = []
    let overflows = try tensor.withSaturatedPieces(as: .float32, adding: updates) { piece in
      values += piece.bindMemory(to: Float.self)
    }
    #expect(overflows == 0)
    return values
  }

  private static let query = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  private static let output = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
  private static let projection = "text_model.encoder.layers.1.self_attn.q_proj"

  /// Every spelling of a layer, and the resulting update.
  @Test(
    arguments: [
      ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", "kohya"),
      ("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", "kohya"),
      ("unet.\(query)", "peft"), ("unet.\(query)", "default"), (query, "peft"),
      ("base_model.model.\(query)", "peft"),
      ("diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q", "peft"),
      ("unet.\(query)", "lora"), ("unet.\(query)", "linear"),
      (query.replacing(".to_q", with: ".processor.to_q"), "processor"),
      ("unet." + query.replacing(".to_q", with: ".processor.to_q"), "processor"),
      (output.replacing(".to_out.0", with: ".processor.to_out"), "processor"),
      ("lora_te_text_model_encoder_layers_1_self_attn_q_proj", "kohya"),
      ("text_encoder.\(projection)", "linear"), ("text_encoder.\(projection)", "peft"),
    ])
  func everySpellingOfALayer(module: String, style: String) throws {
    let endings = [
      "kohya": (".lora_down.weight", ".lora_up.weight"),
      "peft": (".lora_A.weight", ".lora_B.weight"),
      "default": (".lora_A.default.weight", ".lora_B.default.weight"),
      "lora": (".lora.down.weight", ".lora.up.weight"),
      "linear": (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
      "processor": ("_lora.down.weight", "_lora.up.weight"),
    ]
    let (down, up) = try #require(endings[style])
    let isText =
      module.contains("_model") && !module.contains("diffusion_model")
      && !module.contains("base_model")
    let parameter =
      (isText ? Self.projection : module.contains("to_out") ? Self.output : Self.query) + ".weight"
    let components = try components()
    let component = try #require(components.first { $0.name == (isText ? .textEncoder : .unet) })
    let tensor = try component.tensor(named: parameter)
    let (outputs, inputs) = (tensor.shape[0], tensor.shape[1])
    var values = Values()
    let (a, b) = (values.next(3 * inputs), values.next(outputs * 3))
    try withTemporaryFolder { folder in
      var entries = [
        Entry(name: module + down, shape: [3, inputs], values: a),
        Entry(name: module + up, shape: [outputs, 3], values: b),
      ]
      if style == "kohya" { entries.append(Entry(name: module + ".alpha", shape: [], values: [6])) }
      let path = "\(folder)/lora.safetensors"
      try write(entries, to: path)
      let lora = try LoRA.open(path, scale: 0.5, for: components)
      #expect(lora.unused == [])
      #expect(lora.updates.keys.map(\.self) == [component.name])
      let update = try #require(lora.updates[component.name]?[parameter])
      // 0.5 * alpha / rank, alpha being the rank if the file has none.
      let factor = try #require(update.factor)
      #expect(factor == (style == "kohya" ? 1 : 0.5))
      let base = try sums(tensor, [])
      for (index, sum) in try sums(tensor, [update, update]).enumerated() {
        let (row, column) = (index / inputs, index % inputs)
        let product = (0..<3).reduce(0.0) {
          $0 + Double(b[row * 3 + $1]) * Double(a[$1 * inputs + column])
        }
        let expected = Double(base[index]) + 2 * Double(factor) * product
        guard abs(Double(sum) - expected) < 1e-6 else {
          Issue.record("\(sum) instead of \(expected) at \(index)")
          return
        }
      }
    }
  }

  /// A convolution's update, whole and in the Tucker form with a middle factor.
  @Test(arguments: [false, true])
  func convolutions(isTucker: Bool) throws {
    let components = try components()
    let unet = try #require(components.first { $0.name == .unet })
    let name = "down_blocks.1.resnets.0.conv1"
    let tensor = try unet.tensor(named: name + ".weight")
    let (outputs, inputs, kernel) = (tensor.shape[0], tensor.shape[1], 9)
    let module = "lora_unet_" + name.replacing(".", with: "_")
    var values = Values()
    let rank = 2
    let up = values.next(outputs * rank)
    let down = values.next(rank * inputs * (isTucker ? 1 : kernel))
    let middle = values.next(rank * rank * kernel)
    try withTemporaryFolder { folder in
      let path = "\(folder)/lora.safetensors"
      var entries = [
        Entry(
          name: module + ".lora_down.weight",
          shape: isTucker ? [rank, inputs, 1, 1] : [rank, inputs, 3, 3], values: down),
        Entry(name: module + ".lora_up.weight", shape: [outputs, rank, 1, 1], values: up),
      ]
      if isTucker {
        entries.append(
          Entry(name: module + ".lora_mid.weight", shape: [rank, rank, 3, 3], values: middle))
      }
      try write(entries, to: path)
      let lora = try LoRA.open(path, for: components)
      #expect(lora.unused == [])
      let update = try #require(lora.updates[.unet]?[name + ".weight"])
      let base = try sums(tensor, [])
      let found = try sums(tensor, [update])
      var worst = 0.0
      for o in 0..<outputs {
        for i in 0..<inputs {
          for k in 0..<kernel {
            var product = 0.0
            for a in 0..<rank {
              if isTucker {
                for b in 0..<rank {
                  product +=
                    Double(up[o * rank + a]) * Double(middle[(a * rank + b) * kernel + k])
                    * Double(down[b * inputs + i])
                }
              } else {
                product +=
                  Double(up[o * rank + a]) * Double(down[(a * inputs + i) * kernel + k])
              }
            }
            let index = (o * inputs + i) * kernel + k
            worst = max(worst, abs(Double(found[index]) - Double(base[index]) - product))
          }
        }
      }
      #expect(worst < 1e-6)
    }
  }

  /// Tensors that change nothing are listed with the reason.
  @Test func whatIsUnusedIsNamed() throws {
    let components = try components()
    let width = 32
    let module = "unet.\(Self.query)"
    var values = Values()
    func pair(_ name: String) -> [Entry] {
      [
        Entry(name: name + ".lora_A.weight", shape: [1, width], values: values.next(width)),
        Entry(name: name + ".lora_B.weight", shape: [width, 1], values: values.next(width)),
      ]
    }
    let foreign = module.replacing("attn1", with: "attn2").replacing("to_q", with: "to_out.0")
    let lone = module.replacing("to_q", with: "to_k")
    try withTemporaryFolder { folder in
      let path = "\(folder)/lora.safetensors"
      let entries =
        pair(module) + pair("unet.transformer.0.to_q") + pair(foreign)
        + [
          Entry(name: foreign + ".strange", shape: [1], values: [1]),
          Entry(name: lone + ".lora_A.weight", shape: [1, width], values: values.next(width)),
          Entry(name: "emb_params", shape: [1], values: [1]),
        ]
      try write(entries, to: path)
      let lora = try LoRA.open(path, for: components)
      #expect(lora.updates[.unet]?.count == 1)
      let reasons = Dictionary(uniqueKeysWithValues: lora.unused.map { ($0.name, $0.reason) })
      #expect(reasons.count == entries.count - 2)
      #expect(reasons["unet.transformer.0.to_q.lora_A.weight"]?.contains("no layer") == true)
      #expect(reasons[foreign + ".lora_B.weight"]?.contains("another method") == true)
      #expect(reasons[foreign + ".strange"]?.contains("no layer") == true)
      #expect(reasons[lone + ".lora_A.weight"]?.contains("lacks lora_up") == true)
      #expect(reasons["emb_params"]?.contains("no layer") == true)
      // Only the text encoder has none of its layers.
      let text = components.filter { $0.name == .textEncoder }
      let error = try #require(throws: FormatError.self) { try LoRA.open(path, for: text) }
      #expect(error.code == .mismatch)
      #expect(error.message.contains("the text encoder"))
    }
  }

  @Test func factorsThatDoNotFitAreRefused() throws {
    let module = "unet.\(Self.query)"
    for (down, up) in [
      ([1, 31], [32, 1]), ([1, 32], [31, 1]), ([2, 32], [32, 1]), ([0, 32], [32, 0]),
    ] {
      try withTemporaryFolder { folder in
        let path = "\(folder)/lora.safetensors"
        try write(
          [
            Entry(
              name: module + ".lora_A.weight", shape: down,
              values: Array(repeating: 0, count: down[0] * down[1])),
            Entry(
              name: module + ".lora_B.weight", shape: up,
              values: Array(repeating: 0, count: up[0] * up[1])),
          ], to: path)
        let components = try components()
        let error = try #require(throws: FormatError.self) {
          try LoRA.open(path, for: components)
        }
        #expect(error.code == .mismatch)
        #expect(error.file == path && error.context == module + ".lora_A.weight")
      }
    }
  }

  /// diffusers' metadata, per component; PEFT's file next to its own.
  @Test(arguments: ["metadata", "rslora", "config", "pattern", "expression"])
  func alphaOfTheAdaptersConfiguration(kind: String) throws {
    let module = "unet.\(Self.query)"
    let components = try components()
    var values = Values()
    let entries = [
      Entry(name: module + ".lora_A.weight", shape: [4, 32], values: values.next(128)),
      Entry(name: module + ".lora_B.weight", shape: [32, 4], values: values.next(128)),
    ]
    try withTemporaryFolder { folder in
      let path = "\(folder)/adapter_model.safetensors"
      switch kind {
      case "config":
        try #"{"lora_alpha": 12, "r": 4}"#.write(
          toFile: "\(folder)/adapter_config.json", atomically: true, encoding: .utf8)
        try write(entries, to: path)
      default:
        let extra =
          kind == "rslora"
          ? #", "unet.use_rslora": true"#
          : kind == "pattern"
            ? #", "unet.alpha_pattern": {"to_k": 9, "attn1\\.to_q": 3}"#
            : kind == "expression" ? #", "unet.alpha_pattern": {"to_(q|k)": 3}"# : ""
        let text = #"{"unet.lora_alpha": 12, "text_encoder.lora_alpha": 1\#(extra)}"#
        try write(entries, metadata: ["lora_adapter_metadata": text], to: path)
      }
      guard kind != "expression" else {
        let error = try #require(throws: FormatError.self) {
          try LoRA.open(path, for: components)
        }
        #expect(error.code == .unsupported && error.context == "unet.alpha_pattern")
        return
      }
      let lora = try LoRA.open(path, for: components)
      let update = try #require(lora.updates[.unet]?[Self.query + ".weight"])
      #expect(update.factor == (kind == "rslora" ? 6 : kind == "pattern" ? 0.75 : 3))
    }
  }

  /// Ones of these shapes.
  private func ones(_ shapes: [(String, [Int])]) -> [Entry] {
    shapes.map {
      Entry(name: $0.0, shape: $0.1, values: Array(repeating: 1, count: $0.1.reduce(1, *)))
    }
  }

  /// An unusable file's error names its method or its purpose.
  @Test(
    arguments: [
      (
        "unsupported", "VeRA is not supported",
        [("Q.vera_lambda_b", [32]), ("Q.vera_lambda_d", [4])]
      ),
      ("unsupported", "BOFT of PEFT", [("Q.boft_R", [1, 8, 4, 4]), ("Q.boft_s", [32, 1])]),
      ("unsupported", "OFT of PEFT", [("Q.oft_R.weight", [8, 6])]),
      (
        "mismatch", "LoHa: its layer lacks hada_w2_b",
        [("Q.hada_w1_a", [32, 4]), ("Q.hada_w1_b", [4, 32]), ("Q.hada_w2_a", [32, 4])]
      ),
      (
        "mismatch", "this LoHa is for FLUX.1",
        [("lora_unet_double_blocks_0_img_attn_proj.hada_w1_a", [3072, 4])]
      ),
      (
        "mismatch", "this LoRA is for Stable Diffusion XL",
        [
          (
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_k.lora_down.weight",
            [4, 2048]
          ),
          (
            "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_k.lora_up.weight",
            [640, 4]
          ),
        ]
      ),
      (
        "mismatch", "of two methods: LoRA and full differences",
        [("Q.diff", [32, 32]), ("Q.lora_A.weight", [1, 32]), ("Q.lora_B.weight", [32, 1])]
      ),
      (
        "mismatch", "DoRA on IA3",
        [("Q.weight", [32]), ("Q.on_input", [1]), ("Q.dora_scale", [32, 1])]
      ),
      ("mismatch", "by its tensors it is: textual inversion", [("emb_params", [1, 768])]),
    ] as [(String, String, [(String, [Int])])])
  func refusalsNameTheMethod(code: String, says: String, tensors: [(String, [Int])]) throws {
    let components = try components()
    try withTemporaryFolder { folder in
      let path = "\(folder)/adapter.safetensors"
      try write(
        ones(tensors.map { ($0.0.replacing("Q.", with: "unet.\(Self.query)."), $0.1) }), to: path)
      let error = try #require(throws: FormatError.self) { try LoRA.open(path, for: components) }
      #expect(error.code.rawValue == code)
      #expect(error.message.contains(says), "\(error.message)")
      #expect(error.file == path)
    }
  }

  /// The unused tensors of a mixed file are totaled by method.
  @Test func mixedFilesAreSummed() throws {
    let components = try components()
    try withTemporaryFolder { folder in
      let path = "\(folder)/adapter.safetensors"
      let query = "lora_unet_" + Self.query.replacing(".", with: "_")
      let key = query.replacing("to_q", with: "to_k")
      try write(
        ones([
          (query + ".lokr_w1", [4, 4]), (query + ".lokr_w2", [8, 8]),
          (query + ".diff_b", [32]),
          (key + ".lambda_layer", [1, 4]), (key + ".p_layer.weight", [32, 4]),
          ("bundle_emb.<a.b>.string_to_param.*", [2, 64]),
        ]), to: path)
      let lora = try LoRA.open(path, for: components)
      #expect(lora.methods.map(\.name) == ["LoKr"] && lora.layers == [.unet: 1])
      #expect(lora.embeddings.map(\.word) == ["<a.b>"])
      #expect(lora.updates[.unet]?.count == 1)
      let summary = lora.unusedSummary
      #expect(summary.count == 2)
      #expect(summary.contains { $0.contains("1 tensor of LoKr not used: its layer has no bias") })
      #expect(
        summary.contains { $0.contains("2 tensors of T-LoRA not used: T-LoRA is not supported") })
      let groups = lora.json["unused_methods"]?.array
      #expect(groups?.compactMap { $0["tensors"]?.int } == [1, 2])
      #expect(groups?.last?["method"]?.string == "T-LoRA")
    }
  }

  /// A layer under two names is changed once, and the second is named.
  @Test func layersUnderTwoNames() throws {
    let components = try components()
    try withTemporaryFolder { folder in
      let path = "\(folder)/adapter.safetensors"
      let kohya = "lora_unet_" + Self.query.replacing(".", with: "_")
      try write(
        ones([(kohya + ".diff", [32, 32]), ("unet.\(Self.query).diff", [32, 32])]), to: path)
      let lora = try LoRA.open(path, for: components)
      #expect(lora.unused.map(\.name) == ["unet.\(Self.query).diff"])
      #expect(lora.unused.first?.reason.contains("another name") == true)
    }
  }

  /// Every method rejects shapes that do not fit, whatever the numbers.
  @Test(
    arguments: [
      [
        (".hada_w1_a", [32, 4]), (".hada_w1_b", [4, 31]), (".hada_w2_a", [32, 4]),
        (".hada_w2_b", [4, 32]),
      ],
      [
        (".hada_w1_a", [4, 32]), (".hada_w1_b", [4, 32]), (".hada_w2_a", [4, 32]),
        (".hada_w2_b", [4, 32]),
        (".hada_t1", [4, 4]), (".hada_t2", [4, 4]),
      ],
      [(".lokr_w1", [4, 4]), (".lokr_w2", [8, 7])], [(".lokr_w1", [0, 4]), (".lokr_w2", [8, 8])],
      [(".lokr_w1_a", [4]), (".lokr_w1_b", [4, 4]), (".lokr_w2", [8, 8])],
      [
        (".a1.weight", [32, 2]), (".a2.weight", [2, 32]), (".b1.weight", [32, 2]),
        (".b2.weight", [2, 33]),
      ],
      [(".weight", [33]), (".on_input", [1])], [(".ia3_l", [33, 1])],
      [(".oft_blocks", [8, 4, 3])], [(".oft_blocks", [0, 8, 8])], [(".oft_blocks", [2, 11, 3, 3])],
      [(".oft_blocks", [4, 4])], [(".diff", [32, 33])], [(".diff", [32])],
      [(".lora_A.weight", [1, 32]), (".lora_B.weight", [32, 1]), (".dora_scale", [31, 1])],
    ] as [[(String, [Int])]])
  func shapesThatDoNotFitAreRefused(tensors: [(String, [Int])]) throws {
    let components = try components()
    try withTemporaryFolder { folder in
      let path = "\(folder)/adapter.safetensors"
      try write(ones(tensors.map { ("unet.\(Self.query)" + $0.0, $0.1) }), to: path)
      let error = try #require(throws: FormatError.self) { try LoRA.open(path, for: components) }
      #expect(error.code == .mismatch, "\(error)")
      #expect(error.context?.hasPrefix("unet.\(Self.query)") == true)
    }
  }

  @Test func theFastSumIsThePlainOne() {
    var values = Values()
    for (count, width, rank) in [(1, 1, 1), (3, 1025, 4), (17, 320, 7), (5, 2880, 1)] {
      let (up, down) = (values.next(count * rank), values.next(rank * width))
      let rows = values.next(count * width)
      var fast = rows
      var plain = rows
      sdk_add_low_rank(&fast, count, width, up, down, rank, 0.75)
      sdk_add_low_rank_plain(&plain, count, width, up, down, rank, 0.75)
      #expect(Difference.largest(fast, plain) < 1e-6)
    }
  }

  /// An alpha of 0 cancels the change, which is reported for each tensor.
  @Test func alphaOfZero() throws {
    let components = try components()
    let layer = "lora_unet_" + Self.query.replacing(".", with: "_")
    let other = layer.replacing("to_q", with: "to_k")
    try withTemporaryFolder { folder in
      let path = "\(folder)/lora.safetensors"
      func entries(_ layer: String, alpha: Float) -> [Entry] {
        [
          Entry(
            name: layer + ".lora_down.weight", shape: [1, 32],
            values: Array(repeating: 1, count: 32)),
          Entry(
            name: layer + ".lora_up.weight", shape: [32, 1], values: Array(repeating: 1, count: 32)),
          Entry(name: layer + ".alpha", shape: [], values: [alpha]),
        ]
      }
      try write(entries(layer, alpha: 0) + entries(other, alpha: 1), to: path)
      let lora = try LoRA.open(path, for: components)
      #expect(lora.layers == [.unet: 1])
      #expect(lora.unused.map(\.name) == entries(layer, alpha: 0).map(\.name))
      #expect(lora.unused.allSatisfy { $0.reason.contains("alpha is 0") })
      try write(entries(layer, alpha: 0), to: path)
      let error = try #require(try failure { _ = try LoRA.open(path, for: components) })
      #expect(error.code == .mismatch && error.message.contains("its alpha is 0"))
    }
  }
}
