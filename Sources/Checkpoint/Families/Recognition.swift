import ModelFormats
import OrderedJSON

/// The kind of model in a checkpoint, and the tensors that prove it.
public struct Recognition: Sendable, Hashable {
  /// What kinds of checkpoint there are.
  public enum Kind: String, Sendable, CaseIterable {
    case stableDiffusion1 = "sd1"
    case stableDiffusion1Inpainting = "sd1-inpainting"
    case stableDiffusion2 = "sd2"
    case stableDiffusion2Inpainting = "sd2-inpainting"
    case stableDiffusionXL = "sdxl"
    /// Stable Diffusion's architecture with other widths or inputs.
    case stableDiffusionVariant = "sd-variant"
    case controlNet = "controlnet"
    case vae
    case textEncoder = "text-encoder"
    case tinyAutoencoder = "tiny-autoencoder"
    case latentPreview = "latent-preview"
    case textualInversion = "textual-inversion"
    case lora
    case hypernetwork
    case onnxModel = "onnx-model"
    case unknown

    /// The `general.architecture` for this model in GGUF; nil for models without a matching value,
    /// which readers recognize from tensors.
    package var ggufArchitecture: String? {
      switch self {
      case .stableDiffusion1, .stableDiffusion1Inpainting: "sd1"
      case .stableDiffusion2, .stableDiffusion2Inpainting: "sd2"
      case .stableDiffusionXL: "sdxl"
      default: nil
      }
    }
  }

  /// The model's family, in more detail.
  public struct FamilyName: Sendable, Hashable {
    /// For example `flux1-dev`; see docs/families.md.
    public let id: String
    /// For display, for example "FLUX.1 [dev]".
    public let name: String
  }

  /// The base models of an adapter.
  public struct Base: Sendable, Hashable {
    /// The ids of their families.
    public let ids: [String]
    /// For display, for example "FLUX.1 [dev]".
    public let name: String

    package init(ids: [String], name: String) {
      self.ids = ids
      self.name = name
    }
  }

  /// The kind of the checkpoint.
  public let kind: Kind
  /// The family of models that it belongs to.
  public let family: FamilyName
  /// Set for an adapter with a known base model.
  public internal(set) var base: Base?
  /// For display: "Stable Diffusion 1.x inpainting".
  public let title: String
  /// The tensors and shapes that decided, one sentence each.
  public let reasons: [String]

  /// Whether sdgen can use the model.
  package let isDrawn: Bool

  /// - Parameter family: the id; nil to derive it from the kind.
  init(_ kind: Kind, _ title: String, _ reasons: [String], family: String? = nil) {
    let id = family ?? Family.id(of: kind)
    // The plain row of an id comes last.
    let row = Family.all.last { $0.id == id }
    self.init(
      kind, FamilyName(id: id, name: row?.name ?? id), title, reasons,
      isDrawn: row?.isDrawn ?? false)
  }

  init(
    _ kind: Kind, _ family: FamilyName, _ title: String, _ reasons: [String], isDrawn: Bool = false
  ) {
    self.kind = kind
    self.family = family
    self.title = title
    self.reasons = reasons
    self.isDrawn = isDrawn
  }

  /// Identifies a checkpoint by the names and shapes of its tensors; no values are read.
  public init(_ checkpoint: ModelCheckpoint) {
    // A model with only EMA weights of its UNet is identified by them.
    if let (model, reason) = checkpoint.withAveragesInPlace {
      let recognition = Recognition(model)
      let alone = ", UNet only"
      let title = recognition.title
      self.init(
        recognition.kind, recognition.family,
        (title.hasSuffix(alone) ? String(title.dropLast(alone.count)) : title)
          + ", EMA weights of the UNet only", recognition.reasons + [reason],
        isDrawn: recognition.isDrawn)
      return
    }
    let tensors = checkpoint.components.flatMap(\.tensors)
    let names = RecognizedNames(tensors: checkpoint.components.flatMap(\.bareTensors))
    let evidence = FamilyEvidence(checkpoint)
    // Adapters are recognized by their own names, even if these contain names of a model's parts.
    let told =
      evidence.recognition(Family.all.filter { Family.beforeLoRA.contains($0.id) })
      ?? Recognition.adapter(names, metadata: checkpoint.components.first?.metadata ?? [])
      ?? evidence.recognition(Family.adapters + Family.transformers + Family.stableDiffusion)
      ?? (evidence.hasDenoiser ? evidence.recognitionByClass() : nil)
      ?? evidence.recognition(Family.encoders) ?? Recognition.small(names)
      ?? evidence.recognition(Family.small) ?? Recognition.onnx(checkpoint)
      ?? evidence.recognitionByClass()
      ?? Recognition.unknown(tensors, evidence)
    let found = DeclaredArchitecture(checkpoint)?.weighed(with: told) ?? told
    let title = ([found.title] + evidence.gaps).joined(separator: ", ")
    self = Recognition(
      found.kind, found.family, title, found.reasons + evidence.declarations,
      isDrawn: found.isDrawn)
    base = found.base
  }

  /// A separate graph, whatever it computes.
  private static func onnx(_ checkpoint: ModelCheckpoint) -> Recognition? {
    guard case .file(.onnx) = checkpoint.layout else { return nil }
    let pairs = checkpoint.components.first?.metadata ?? []
    func values(_ prefix: String) -> [String] {
      pairs.filter { $0.key.hasPrefix(prefix) }.map {
        "\($0.key.dropFirst(prefix.count)) \($0.value)"
      }
    }
    let nodes = pairs.first { $0.key == "nodes" }?.value ?? "no"
    return Recognition(
      .onnxModel, "ONNX model",
      [
        "a graph of \(nodes) nodes from \(Leftover.shown(values("input "))) to "
          + Leftover.shown(values("output "))
      ])
  }

  private static func unknown(_ tensors: [Tensor], _ evidence: FamilyEvidence) -> Recognition {
    guard !tensors.isEmpty else {
      return Recognition(.unknown, "something else", ["the file contains no tensors"])
    }
    let first = tensors.prefix(3).map(\.displayName).joined(separator: ", ")
    let reason = "the first are \(first)"
    let quote = evidence.declared.map { " (it says \"\($0)\")" } ?? ""
    if let (title, mark) = evidence.structure {
      return Recognition(
        .unknown, FamilyName(id: "other", name: title), title + quote,
        [mark, "no tensor says which model it is; \(reason)"])
    }
    return Recognition(
      .unknown, "something else" + quote,
      ["no tensor name matches a Stable Diffusion component; \(reason)"])
  }

  /// The form that `summary --json` prints as `model`.
  package var json: JSON {
    [
      "kind": .string(kind.rawValue), "title": .string(title),
      "reasons": .array(reasons.map { .string($0) }),
    ]
  }

  /// The form that `summary --json` prints as `family`.
  package var familyJSON: JSON {
    [
      "id": .string(family.id), "name": .string(family.name),
      "because": .array(reasons.map { .string($0) }),
      "base": base.map {
        ["ids": .array($0.ids.map { .string($0) }), "name": .string($0.name)]
      } ?? .null,
    ]
  }
}

/// Tensors by bare name, with queries for recognition.
struct RecognizedNames {
  let tensors: [Tensor]

  func first(where isMatch: (String) -> Bool) -> Tensor? {
    tensors.first { isMatch($0.name) }
  }
}

extension Tensor {
  /// Name and shape, for reasons.
  var shown: String { "\(displayName) \(shape)" }

  /// The name for display.
  public var displayName: String { Tensor.displayName(name) }

  /// A tensor's name for display: a tensor saved on its own has an empty name.
  public static func displayName(_ name: String) -> String {
    name.isEmpty ? "(unnamed)" : name
  }
}
