import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Families of models, their components and their parameter counts, on the names and shapes of
/// published models.
///
/// `Oracle/make_families.py` wrote the headers in Fixtures/families from the classes in diffusers
/// and transformers; the counts are torch's sums.
@Suite struct FamilyTests {
  struct Golden: Sendable, CustomTestStringConvertible {
    let name: String
    let family: String
    let components: [String: Int]
    let buffers: Int
    let tensors: Int
    var testDescription: String { name }
  }

  static let goldens: [Golden] = {
    let text = (try? Fixtures.text("families/families.json")) ?? "{}"
    let object = (try? JSON(parsing: text))?.object ?? JSONObject()
    return object.members.map { member in
      var components: [String: Int] = [:]
      for part in member.value["components"]?.object?.members ?? [] {
        components[part.key] = part.value.int
      }
      return Golden(
        name: member.key, family: member.value["family"]?.string ?? "", components: components,
        buffers: member.value["buffers"]?.int ?? 0, tensors: member.value["tensors"]?.int ?? 0)
    }
  }()

  /// The tensors of a header; `{0-37}` in a name is expanded to each number in the range.
  static func tensors(_ name: String) throws -> [Tensor] {
    var tensors: [Tensor] = []
    for line in try Fixtures.text("families/\(name).txt").split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      let shape = Shape((fields.last ?? "").split(separator: " ").compactMap { Int($0) })
      for name in names(String(fields[0])) {
        tensors.append(Tensor(name: name, dtype: .float16, shape: shape, storage: .memory([])))
      }
    }
    return tensors
  }

  private static func names(_ pattern: String) -> [String] {
    guard let start = pattern.firstIndex(of: "{"), let end = pattern.firstIndex(of: "}") else {
      return [pattern]
    }
    let bounds = pattern[pattern.index(after: start)..<end].split(separator: "-")
      .compactMap { Int($0) }
    let tail = String(pattern[pattern.index(after: end)...])
    return (bounds[0]...bounds[1]).flatMap { number in
      names("\(pattern[..<start])\(number)\(tail)")
    }
  }

  static func checkpoint(
    _ tensors: [Tensor], metadata: [(key: String, value: String)] = []
  ) -> ModelCheckpoint {
    ModelCheckpoint.of(
      TensorFile(path: "weights", format: .safetensors, metadata: metadata, tensors: tensors))
  }

  @Test(arguments: goldens)
  func familiesAndCounts(golden: Golden) throws {
    let tensors = try FamilyTests.tensors(golden.name)
    #expect(tensors.count == golden.tensors)
    let summary = Summary(FamilyTests.checkpoint(tensors))
    #expect(summary.recognition.family.id == golden.family, "\(summary.recognition.title)")
    // A lone network without a family is the file's model.
    let other = golden.family == "other" ? ["model": golden.components["transformer"] ?? 0] : nil
    let counts = Dictionary(
      uniqueKeysWithValues: summary.components.map { ($0.name.rawValue, $0.parameters) })
    #expect(counts == other ?? golden.components)
    #expect(summary.buffers == golden.buffers)
    #expect(!summary.recognition.reasons.isEmpty)
    #expect(summary.recognition.family.id != "other" || !summary.recognition.title.contains("Flux"))
  }

  /// Files next to models, as kohya's sd-scripts and ComfyUI save them.
  @Test func controlNetLLLiteAndLatentsAreNamed() {
    func summary(_ entries: [(name: String, shape: Shape)]) -> Summary {
      Summary(
        FamilyTests.checkpoint(
          entries.map {
            Tensor(name: $0.name, dtype: .float32, shape: $0.shape, storage: .memory([]))
          }))
    }
    let layer = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    let lllite = summary([
      ("\(layer).cond_emb.0.weight", [16, 3, 4, 4]), ("\(layer).down.0.weight", [16, 640]),
      ("\(layer).mid.0.weight", [16, 32]), ("\(layer).up.0.weight", [640, 16]),
    ])
    #expect(lllite.recognition.family.id == "controlnet")
    #expect(lllite.recognition.title == "ControlNet-LLLite")
    #expect(lllite.parameters == 16 * 48 + 16 * 640 + 16 * 32 + 640 * 16)
    let latents = summary([
      ("latent_tensor", [1, 4, 64, 64]), ("latent_format_version_0", [0]),
    ])
    #expect(latents.recognition.family.id == "latents")
  }

  static let titles: [(String, String)] = [
    ("sd1-original", "Stable Diffusion 1.x, UNet only"),
    ("sd1-whole", "Stable Diffusion 1.x"),
    ("sd1-pix2pix", "Stable Diffusion 1.x, InstructPix2Pix, UNet only"),
    ("sd1-lcm", "Stable Diffusion 1.x, LCM, UNet only"),
    ("sd1-tiny", "Stable Diffusion 1.x, distilled (tiny), UNet only"),
    ("sd1-small-original", "Stable Diffusion 1.x, distilled (small), UNet only"),
    ("sd1-base", "Stable Diffusion 1.x, distilled, UNet only"),
    ("sd2-depth", "Stable Diffusion 2.x depth, UNet only"),
    ("sd2-unclip-l", "Stable Diffusion 2.1 unCLIP, UNet only"),
    ("sdxl-whole", "Stable Diffusion XL"),
    ("sdxl-refiner", "Stable Diffusion XL refiner, UNet only"),
    ("svd", "Stable Video Diffusion, UNet only"),
    ("custom-sd", "Stable Diffusion architecture with custom widths, UNet only"),
    ("sd3-medium", "Stable Diffusion 3 Medium, transformer only"),
    ("sd3.5-large-original", "Stable Diffusion 3.5 Large, transformer only"),
    ("sd3.5-medium", "Stable Diffusion 3.5 Medium, transformer only"),
    ("sd3-whole", "Stable Diffusion 3 Medium"),
    ("flux1-dev", "FLUX.1 [dev], transformer only"),
    ("flux1-schnell-whole", "FLUX.1 [schnell]"),
    ("flux2-original", "FLUX.2 [dev], transformer only"),
    ("wan-i2v-14b", "Wan, image to video, transformer only"),
    ("pixart-alpha", "PixArt-α, transformer only"),
    ("other-mochi", "diffusion transformer of an unknown architecture"),
    ("umt5-xxl", "UMT5 encoder only"),
    ("clip-l", "CLIP"),
    ("clip-vision-h", "CLIP vision model only"),
    ("clip-text-l", "text encoder only"),
    ("ip-adapter-plus", "IP-Adapter Plus"),
    ("vae-16", "VAE only"),
  ]

  @Test(arguments: titles)
  func titlesNameTheVariant(name: String, title: String) throws {
    let recognition = Recognition(FamilyTests.checkpoint(try FamilyTests.tensors(name)))
    #expect(recognition.title == title)
  }

  /// Files without prefixes, and other programs' files, get the same result.
  @Test(arguments: ["flux1-dev", "sd3-medium", "qwen-image", "wan-t2v-14b", "z-image", "lumina2"])
  func prefixesChangeNothing(name: String) throws {
    let golden = try #require(FamilyTests.goldens.first { $0.name == "\(name)-original" })
    let prefix = "model.diffusion_model."
    for other in ["", "diffusion_model.", "model.", "state_dict.model.diffusion_model."] {
      let tensors = try FamilyTests.tensors("\(name)-original").map {
        $0.renamed(other + $0.name.dropFirst(prefix.count))
      }
      let summary = Summary(FamilyTests.checkpoint(tensors))
      #expect(summary.recognition.family.id == golden.family, "\(other)")
      #expect(summary.components.map(\.name.rawValue) == ["transformer"], "\(other)")
      #expect(summary.parameters == golden.components["transformer"], "\(other)")
    }
  }

  /// Marker keys say what a UNet predicts.
  @Test func keysTellWhatIsPredicted() throws {
    let keys = ["v_pred", "ztsnr"].map {
      Tensor(name: $0, dtype: .float32, shape: [0], storage: .memory([]))
    }
    let summary = Summary(FamilyTests.checkpoint(try FamilyTests.tensors("sdxl-whole") + keys))
    #expect(summary.recognition.title == "Stable Diffusion XL (v-prediction)")
    #expect(summary.recognition.family.id == "sdxl")
    #expect(summary.recognition.reasons.contains { $0.hasPrefix("v_pred: ") })
    #expect(summary.leftovers.map(\.kind) == [.predictionMarks])
  }

  /// One mark that denies it is enough.
  @Test func noHeadlineClaimsWhatAMarkDenies() throws {
    let prefix = "model.diffusion_model."
    func recognized(_ name: String, _ change: (Tensor) -> Tensor) throws -> Recognition {
      Recognition(FamilyTests.checkpoint(try FamilyTests.tensors(name).map(change)))
    }
    func reshaped(_ name: String, _ shape: Shape) -> (Tensor) -> Tensor {
      { tensor in
        tensor.name != prefix + name
          ? tensor
          : Tensor(name: tensor.name, dtype: .float16, shape: shape, storage: .memory([]))
      }
    }
    let seven = try recognized(
      "sd1-original", reshaped("input_blocks.0.0.weight", [320, 7, 3, 3]))
    #expect(seven.family.id == "custom-sd")
    let long = try recognized("flux1-dev-original", reshaped("txt_in.weight", [3072, 3584]))
    #expect(long.family.id == "other")
    #expect(!long.title.contains("Stable Diffusion"))
    let video = try recognized("sd1-original") { tensor in
      tensor.name == prefix + "middle_block.1.norm.weight"
        ? tensor.renamed(prefix + "middle_block.1.time_stack.0.norm1.weight") : tensor
    }
    #expect(video.family.id == "other" && !video.title.contains("Stable Diffusion"))
  }

  /// A file's own description is quoted.
  @Test func declarationsAreQuoted() {
    let summary = Summary(
      FamilyTests.checkpoint(
        [.zeros("blocks.0.adaLN_modulation.1.weight", .float32, [1, 1])],
        metadata: [(key: "modelspec.architecture", value: "model-of-tomorrow")]))
    #expect(summary.recognition.family.id == "other")
    #expect(summary.recognition.reasons.last == "modelspec.architecture is \"model-of-tomorrow\"")
    #expect(summary.recognition.title.hasSuffix("(it says \"model-of-tomorrow\")"))
    #expect(summary.json["family"]?["id"] == "other")
    #expect(
      summary.json["family"]?["because"]?.array?.count == summary.recognition.reasons.count)
  }

  /// Networks without a graph are listed as not checked, never as faulty.
  @Test(arguments: ["clip-l", "open-clip-h", "sd3-whole", "sdxl-whole", "t5-xxl", "other-mochi"])
  func networksWithoutAGraphAreReadable(name: String) throws {
    let result = try Verification(of: FamilyTests.checkpoint(try FamilyTests.tensors(name)))
    // The required tensors of CLIP's networks are known.
    #expect(result.problems == [] && (name == "clip-l" ? result.isSound : result.verdict == nil))
    #expect(!result.unchecked.contains { $0.contains("unrecognized") }, "\(result.unchecked)")
  }

  /// Every id of the table is documented, and every documented id that a model can have is tested,
  /// on a published model's shapes or by its own function.
  @Test func everyFamilyIsDocumented() throws {
    let text = try String(contentsOfFile: "\(Fixtures.root)/docs/families.md", encoding: .utf8)
    for family in Family.all { #expect(text.contains("`\(family.id)`"), "\(family.id)") }
    let own: Set = ["lora", "embedding", "latent-preview", "latents"]
    let tested = Set(FamilyTests.goldens.map(\.family))
    #expect(Set(Family.all.map(\.id)).subtracting(own).subtracting(tested) == [])
  }
}
