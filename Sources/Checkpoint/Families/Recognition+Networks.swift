import ModelFormats
import ModelGraph
import OrderedJSON

/// The evidence that a checkpoint provides for the table of families: its networks' tensors, the
/// classes in its configurations, and its metadata.
struct FamilyEvidence {
  private let checkpoint: ModelCheckpoint
  /// The networks, denoiser first.
  private let networks: [(component: Component, views: [FamilyShapes])]
  /// Missing parts of networks, for the title: "UNet incomplete: lacks conv_in.weight".
  let gaps: [String]
  /// All networks together.
  private let whole: [(component: Component, views: [FamilyShapes])]

  init(_ checkpoint: ModelCheckpoint) {
    self.checkpoint = checkpoint
    let main: [ComponentName] = [.transformer, .unet, .unetEMA]
    let hasUNet = checkpoint[.unet] != nil
    var gaps: [String] = []
    networks = checkpoint.components.filter { $0.name != .unetEMA || !hasUNet }.enumerated()
      .sorted { left, right in
        let places = [left, right].map { main.firstIndex(of: $0.element.name) ?? main.count }
        return (places[0], left.offset) < (places[1], right.offset)
      }.map { _, component in
        let (tensors, missing) = FamilyEvidence.tensors(
          component, isAlone: checkpoint.isAlone(component))
        if !missing.isEmpty, component.name.averaged == nil {
          gaps.append(
            "\(component.name.title) incomplete: lacks "
              + (missing.count > 3
                ? "\(missing.count) tensors (\(Leftover.shown(missing, limit: 2)))"
                : Leftover.shown(missing)))
        }
        return (component, FamilyShapes.views(of: tensors, missing: Set(missing)))
      }
    self.gaps = gaps
    whole =
      networks.count > 1
      ? [
        (
          networks[0].component,
          [FamilyShapes(checkpoint.components.flatMap(\.bareTensors), prefix: "")]
        )
      ]
      : networks
  }

  /// The tensors of a component; for EMA weights, whose names have no dots, their parameters.
  /// Missing tensors are included, and listed.
  private static func tensors(
    _ component: Component, isAlone: Bool
  ) -> (tensors: [Tensor], missing: [String]) {
    func tensor(_ name: String, _ shape: [Int]) -> Tensor {
      Tensor(name: name, dtype: .float32, shape: Shape(shape), storage: .memory([]))
    }
    guard component.name == .unetEMA else {
      let missing = component.gaps(isAlone: isAlone).map { tensor($0.name, $0.shape) }
      guard !missing.isEmpty else { return (component.bareTensors, []) }
      return (component.bareTensors + missing, missing.map(\.name))
    }
    return (component.graphs.flatMap(\.parameters).map { tensor($0.name, $0.shape) }, [])
  }

  /// The first row that the tensors prove.
  func recognition(_ rows: [Family]) -> Recognition? {
    for row in rows {
      // A pipeline with a ControlNet counts as the model that it is used with.
      if row.part == .controlNet, checkpoint[.unet] != nil { continue }
      for (component, views) in row.isOfSeveral ? whole : networks {
        for view in views {
          guard let reasons = row.proof(view) else { continue }
          return recognition(row, component, view, reasons)
        }
      }
    }
    return nil
  }

  private func recognition(
    _ row: Family, _ component: Component, _ shapes: FamilyShapes, _ proof: [String]
  ) -> Recognition {
    var (title, reasons) = row.title(shapes)
    reasons = proof + reasons.filter { !proof.contains($0) }
    let name = Recognition.FamilyName(id: row.id, name: title)
    switch row.part {
    case .unet:
      reasons += UNetFacts(shapes).reasons(isCustom: row.id == "custom-sd")
      let (suffix, prediction) = prediction(of: row, component)
      title += suffix
      reasons += prediction
    case .controlNet: reasons += UNetFacts(shapes).promptReason
    case .vae: reasons += FamilyEvidence.vaeReasons(component)
    case .textEncoder: reasons += FamilyEvidence.textReasons(shapes)
    default: break
    }
    return Recognition(
      row.kind, name, title + rest(of: row, component), reasons, isDrawn: row.isDrawn)
  }

  /// The part of the title about present and missing parts.
  private func rest(of row: Family, _ component: Component) -> String {
    let parts = checkpoint.components.map(\.name).filter { $0 != .other && $0 != .unetEMA }
    switch row.part {
    case .unet:
      let isAlone = ComponentName.required.count { checkpoint[$0] != nil } == 1
      return isAlone && checkpoint[.unet] != nil && parts.count == 1 ? ", UNet only" : ""
    case .transformer: return parts.count == 1 ? ", transformer only" : ""
    case .vae, .textEncoder, .imageEncoder:
      let others = parts.filter { $0 != component.name }
      if others.isEmpty {
        let isOld = ["VAE", "text encoder"].contains(row.name)
        return isOld ? " only" : row.name == "CLIP" ? "" : " only"
      }
      // A complete CLIP consists of its two parts.
      if row.name == "CLIP" { return "" }
      return " and " + others.map(\.title).joined(separator: ", ") + ", without a denoiser"
    default: return ""
    }
  }

  /// Whether there is a network that encoders and VAEs only support.
  var hasDenoiser: Bool {
    [ComponentName.transformer, .unet].contains { checkpoint[$0] != nil }
  }

  /// The result from the configurations' classes, if tensors do not prove more. Many models share
  /// Stable Diffusion's classes, so their tensors must decide.
  func recognitionByClass() -> Recognition? {
    let index = try? checkpoint.file(named: "model_index.json")?.jsonObject()
    let denoisers: [ComponentName] = [.transformer, .unet]
    let main = checkpoint.components.filter { denoisers.contains($0.name) }
    let configured = (main.isEmpty ? checkpoint.components : main).filter {
      $0.configuration?.origin == .file
    }
    let classes =
      [index?["_class_name"]?.string].compactMap { $0 }.map { ("model_index.json", $0) }
      + configured.compactMap { component in
        component.configuration?.architecture.map { ("\(component.name)/config.json", $0) }
      }
    let ambiguous = Set(Family.stableDiffusion.flatMap(\.classes))
    for (file, name) in classes where !ambiguous.contains(name) {
      let row = Family.all.first { row in
        row.classes.contains(name)
          && row.fields.members.allSatisfy { field in
            let value = configured.first?.configuration?.object[field.key]
            return (value ?? false) == field.value
          }
      }
      guard let row else { continue }
      let fields = row.fields.members.map { ", \($0.key) is \($0.value.text(.compact))" }
      return Recognition(
        row.kind, Recognition.FamilyName(id: row.id, name: row.name), row.name,
        ["\(file): the class is \(name)" + fields.joined()], isDrawn: row.isDrawn)
    }
    guard let (file, name) = classes.first, !ambiguous.contains(name) else { return nil }
    let title = "\(name), which is not known here"
    return Recognition(
      .unknown, Recognition.FamilyName(id: "other", name: name), title,
      ["\(file): the class is \(name)"])
  }

  /// The file's metadata under keys that programs write for identification.
  private var said: [(key: String, value: String)] {
    guard case .file = checkpoint.layout else { return [] }
    let metadata = checkpoint.components.first?.metadata ?? []
    return ["modelspec.architecture", "general.architecture"].compactMap { key in
      metadata.first { $0.key == key && !$0.value.isEmpty }
        .map { (key, String($0.value.prefix(80))) }
    }
  }

  var declarations: [String] { said.map { "\($0.key) is \"\($0.value)\"" } }

  var declared: String? { said.first?.value }

  /// The kind of network of unknown tensors, and the tensors that prove it.
  var structure: (title: String, reason: String)? {
    let kinds: [(title: String, patterns: [String])] = [
      (
        "diffusion transformer of an unknown architecture",
        [
          "*transformer_blocks.0.*", "*double_blocks.0.*", "*joint_blocks.0.*",
          "*adaLN_modulation.*",
          "*scale_shift_table", "*double_layers.0.*", "*.adaln_single.*",
        ]
      ),
      (
        "UNet of an unknown architecture",
        ["*input_blocks.0.0.weight", "*down_blocks.0.resnets.0.conv1.weight"]
      ),
    ]
    for (title, patterns) in kinds {
      for (_, views) in networks {
        for view in views.prefix(1) {
          if let found = view.first(patterns) { return (title, view.shown(found)) }
        }
      }
    }
    return nil
  }

  // MARK: Reasons

  /// A UNet's weights do not contain the prediction type; marker keys or the scheduler do.
  private func prediction(
    of row: Family, _ component: Component
  ) -> (title: String, reasons: [String]) {
    let title = " (v-prediction)"
    let marks = PredictionMarks(checkpoint)
    if marks.isVelocity || marks.isEDM, let mark = marks.mark {
      return (
        title,
        [
          "\(mark): it predicts velocity (v-prediction)"
            + (marks.isEDM ? " at EDM's noise levels" : "")
        ] + (marks.hasZeroTerminalSNR ? ["ztsnr: its last step is all noise"] : [])
      )
    }
    let scheduler = try? checkpoint.file(named: "scheduler/scheduler_config.json")?.jsonObject()
    guard let type = scheduler?["prediction_type"]?.string else {
      guard row.kind == .stableDiffusion2 else { return ("", []) }
      return (
        "",
        [
          "prediction type (epsilon or v-prediction) unknown: not in the tensors, "
            + "and no scheduler_config.json"
        ]
      )
    }
    guard row.kind == .stableDiffusion2 || type == "v_prediction" else { return ("", []) }
    return (
      type == "v_prediction" ? title : "",
      ["scheduler/scheduler_config.json: prediction_type is \(type)"]
    )
  }

  private static func vaeReasons(_ vae: Component) -> [String] {
    ["encoder.conv_in.weight", "decoder.conv_in.weight"].compactMap { name in
      vae.tensors.first { $0.name.hasSuffix(name) }.map { tensor in
        let channels = tensor.shape.rank == 4 ? tensor.shape[1] : 0
        return name.hasPrefix("encoder")
          ? "\(tensor.shown): pictures of \(channels.of("channel")) are encoded"
          : "\(tensor.shown): latents of \(channels.of("channel")) are decoded"
      }
    }
  }

  private static func textReasons(_ shapes: FamilyShapes) -> [String] {
    let names = ["*token_embedding.weight", "shared.weight", "*embed_tokens.weight"]
    guard let table = shapes.first(names), table.shape.rank == 2 else { return [] }
    return [
      "\(shapes.shown(table)): \(table.shape.dimensions.first ?? 0) tokens, each "
        + "\(table.shape.last) wide"
    ]
  }
}

/// Facts from a UNet's shapes: cross_attention_dim, input channels, block_out_channels.
private struct UNetFacts {
  let shapes: FamilyShapes

  init(_ shapes: FamilyShapes) {
    self.shapes = shapes
  }

  func reasons(isCustom: Bool) -> [String] {
    promptReason + inputReason + widthReason(isCustom: isCustom)
  }

  /// The width of the prompt's hidden states.
  var promptReason: [String] {
    guard let key = shapes.first(["*attn2.to_k.weight"]), key.shape.rank == 2 else { return [] }
    let family =
      switch key.shape.last {
      case 768: ", as in SD 1.x"
      case 1024: ", as in SD 2.x"
      case 1280: ", as in SDXL's refiner"
      case 2048: ", as in SDXL"
      default: ""
      }
    return ["\(shapes.shown(key)): cross_attention_dim \(key.shape.last)\(family)"]
  }

  /// The number of input channels.
  private var inputReason: [String] {
    guard let input = shapes.first(["conv_in.weight", "input_blocks.0.0.weight"]),
      input.shape.rank == 4
    else { return [] }
    let channels = input.shape[1]
    let meaning =
      switch channels {
      case 4: "4 latent input channels"
      case 9: "9 input channels: latents, masked-image latents, mask"
      case 8: "8 input channels: latents and image latents, as in InstructPix2Pix"
      case 5: "5 input channels: latents and a depth map"
      default: "\(channels.of("channel goes", "channels go")) in"
      }
    return ["\(shapes.shown(input)): \(meaning)"]
  }

  private func widthReason(isCustom: Bool) -> [String] {
    let channels = shapes.levels.map(\.channels)
    guard !channels.isEmpty else { return [] }
    let widths = channels.map(String.init).joined(separator: ", ")
    return [
      "block_out_channels: \(widths)"
        + (isCustom ? "; those of Stable Diffusion have 320, 640, 1280, 1280" : "")
    ]
  }
}

extension Shape {
  /// The innermost dimension; 0 if there is none.
  var last: Int { dimensions.last ?? 0 }
}
