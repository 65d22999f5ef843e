import Checkpoint
import Diffusion
import Engine
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// The generation metadata of an image: the web UI's infotext, and the arguments of its job.
struct PictureRecord {
  private let job: DrawingJob
  private let modelName: String
  private let modelHash: String?
  /// The input files, by field: nil for values that are not files.
  private let files: [(field: JobField, hashes: [FileHashes?])]
  /// Whether the arguments alone reproduce this image.
  var isRepeatable = true
  /// The changes of each LoRA, and its unused tensors.
  var loras: [JSON] = []

  /// - Throws: ``FormatError`` if a file cannot be read.
  init(
    _ job: DrawingJob, modelPath: String, _ digests: FileDigests
  ) throws {
    self.job = job.withOwnSchedulerName
    modelName = Self.name(of: modelPath)
    modelHash = job.modelHash == true ? try Self.hash(of: modelPath, job.variant) : nil
    files = try JobField.hashed.compactMap { field in
      guard job[field] != nil else { return nil }
      return (
        field,
        try job.files(field).map { try digests.hashes(of: FileDigests.path($0, of: field)) }
      )
    }
  }

  /// The first ten digits of the SHA-256 of a single-file model; nil for a directory.
  private static func hash(of path: String, _ variant: String?) throws -> String? {
    switch try ModelCheckpoint.open(path, variant: variant).layout {
    case .repository, .component: nil
    case .file: try FileHashes.of([path])[0].autoV2
    }
  }

  /// `sd15` for `models/sd15.safetensors`.
  static func name(of path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    let (stem, ending) = PicturePath.split(last)
    return FormatDescriptor.weightsEndings.contains(ending) ? stem : last
  }

  /// The metadata of an image file.
  func metadata(of request: GenerationRequest, _ generation: Generation) -> PictureFile.Metadata {
    PictureFile.Metadata(
      parameters: infotext(request, generation).text,
      job: isRepeatable ? record(request, generation).text(.compact) : nil)
  }

  /// The contents of the sidecar file.
  func sidecar(of request: GenerationRequest, _ generation: Generation, file: String) -> JSON {
    let text = infotext(request, generation)
    let timings = generation.timings
    return [
      "version": 1, "file": .string(file), "parameters": .string(text.text),
      "fields": text.json, "job": isRepeatable ? record(request, generation) : .null,
      "safety": generation.safety?.json ?? .null,
      "loras": .array(loras.map(Self.withoutFolder)),
      "timings": [
        ComponentName.textEncoder.rawValue: .number(timings.textEncoder),
        ComponentName.unet.rawValue: .array(timings.unet.map { .number($0) }),
        "scheduler": .number(timings.scheduler),
        ComponentName.vae.rawValue: .number(timings.vae), "total": .number(timings.total),
      ],
    ]
  }

  /// A file by name only, as elsewhere in the metadata.
  private static func withoutFolder(_ row: JSON) -> JSON {
    guard var object = row.object, let path = object["file"]?.string else { return row }
    object["file"] = .string(path.split(separator: "/").last.map(String.init) ?? path)
    return .object(object)
  }

  private func infotext(_ request: GenerationRequest, _ generation: Generation) -> Infotext {
    typealias Field = Infotext.Field
    // The size of the first pass, as in the web UI.
    let scale = request.hiresPass
    let size =
      scale == nil
      ? (generation.image.width, generation.image.height)
      : (generation.noise.width * 8, generation.noise.height * 8)
    var fields = [Field("Steps", String(request.steps))]
    fields +=
      SamplerLabel(
        scheduler: generation.scheduler.name, sigmas: job.sigmas
      ).fields
    fields += [
      Field("CFG scale", Self.number(Double(request.guidanceScale))),
      Field("Seed", String(request.seed)), Field("Size", "\(size.0)x\(size.1)"),
    ]
    if let modelHash { fields.append(Field("Model hash", modelHash)) }
    fields.append(Field("Model", modelName))
    if let hash = hashes(of: .vae).first??.autoV2 { fields.append(Field("VAE hash", hash)) }
    if let vae = job.vae {
      fields.append(Field("VAE", PicturePath.name(vae).filter { !":,".contains($0) }))
    }
    if let variation = request.variation {
      fields += [
        Field("Variation seed", String(variation.seed)),
        Field("Variation seed strength", Self.number(variation.strength)),
      ]
    }
    if let size = job.seedResize { fields.append(Field("Seed resize from", size)) }
    if let strength = request.hiresPass?.strength ?? request.initial?.strength {
      fields.append(Field("Denoising strength", Self.number(strength)))
    }
    if let skip = job.clipSkip, skip != 1 {
      fields.append(Field("Clip skip", String(skip)))
    }
    // The prompts are then read as text, as with the web UI's None.
    let emphasis = request.promptStyle.isLiteral ? .none : request.promptStyle.emphasis
    if emphasis != .original { fields.append(Field("Emphasis", emphasis.webUIName)) }
    if let merged = job.tokenMerging?.value, merged > 0 {
      fields.append(Field("Token merging ratio", Self.number(merged)))
    }
    if let eta = job[.eta] { fields.append(Field("Eta", eta.text(.compact))) }
    if let hash = hashes(of: .initial).first??.autoV2 {
      fields.append(Field("Init image hash", hash))
    }
    // The web UI's default RNG is the GPU's.
    let source = job.rng ?? .torch
    let sources: [RandomSourceName: String] = [.cuda: "NV", .torch: "CPU"]
    fields.append(Field("RNG", sources[source] ?? source.rawValue))
    if let scale {
      fields += [
        Field("Hires upscale", Self.number(scale.scale)),
        Field("Hires steps", String(scale.steps ?? request.steps)),
        Field("Hires upscaler", "Lanczos"),
      ]
    }
    if let safety = generation.safety {
      fields.append(Field("Safety checker", safety.isFlagged ? "flagged" : "passed"))
    }
    fields += networkHashes
    fields.append(Field("Version", "sdloom \(toolVersion)"))
    return Infotext(
      prompt: request.prompt, negativePrompt: request.negativePrompt, fields: fields)
  }

  private func hashes(of field: JobField) -> [FileHashes?] {
    files.first { $0.field.name == field.name }?.hashes ?? []
  }

  /// The web UI's hashes of LoRAs and embeddings: twelve digits each of the SHA-256, for LoRAs in
  /// safetensors files without their headers.
  private var networkHashes: [Infotext.Field] {
    let loras = zip(job.lora ?? [], hashes(of: .lora)).compactMap { argument, hashes in
      hashes.map { hashes in
        let path = FileDigests.path(argument, of: .lora)
        let name = Self.name(of: path).filter { !":,".contains($0) }
        return "\(name): \(hashes.autoV3 ?? String(hashes.sha256.prefix(12)))"
      }
    }
    let embeddings = zip(job.embedding ?? [], hashes(of: .embedding))
      .compactMap { argument, hashes in
        hashes.map { hashes in
          let (path, token) = EmbeddingArgument.split(argument)
          return "\(token ?? Self.name(of: path)): \(hashes.sha256.prefix(12))"
        }
      }
    return [("Lora hashes", loras), ("TI hashes", embeddings)].filter { !$0.1.isEmpty }
      .map { Infotext.Field($0.0, $0.1.joined(separator: ", ")) }
  }

  /// The first ten digits for images, as in web UIs; for repeatable fields a list of full hashes.
  private static func json(_ hashes: [FileHashes?], of field: JobField) -> JSON {
    guard field.isRepeating else {
      return hashes.first.flatMap { $0 }.map { JSON.string($0.autoV2) } ?? .null
    }
    return .array(hashes.map { $0.map { .string($0.sha256) } ?? .null })
  }

  /// A number formatted as in Python, whole numbers without a fraction: 7.5, 7.
  private static func number(_ value: Double) -> String {
    // Guidance was rounded to float32; the shortest decimal that rounds to it is the requested
    // value.
    let text = "\(Float(value))"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// The fields of the job that reproduce this image, with file names without directories.
  private func record(_ request: GenerationRequest, _ generation: Generation) -> JSON {
    var one = Self.recorded(job)
    one.prompt = request.prompt
    one.negative = request.negativePrompt.isEmpty ? nil : request.negativePrompt
    one.seed = Int(exactly: request.seed)
    one.variationSeed = request.variation.flatMap { Int(exactly: $0.seed) }
    one.steps = request.steps
    one.scheduler = generation.scheduler.name
    // The resolved value of auto; another CPU may choose differently.
    one.dtype = job.precision == .bf16 ? .bf16 : .f32
    if let initial = request.initial {
      one.strength = JobNumber(initial.strength)
    } else {
      one.width = generation.noise.width * 8
      one.height = generation.noise.height * 8
    }
    one.guidance = job.guidance ?? JobNumber(Double(request.guidanceScale))
    var result: JSONObject = [
      "version": 1, "program": .string("sdloom \(toolVersion)"), "model": .string(modelName),
      "arguments": .object(one.object),
      "files": .object(
        files.reduce(into: JSONObject()) { $0[$1.field.name] = Self.json($1.hashes, of: $1.field) }
      ),
    ]
    result["safety"] = generation.safety?.json
    return .object(result)
  }

  /// The fields that determine one image: metadata is untrusted and must not select files to write,
  /// or arbitrary files to read.
  static func recorded(_ job: DrawingJob) -> DrawingJob {
    job.filtered { $0.traits.contains(.recorded) }.withoutFolders
  }
}

extension Infotext {
  /// The fields as an object; for duplicate names the last one counts.
  var json: JSON {
    .object(fields.reduce(into: JSONObject()) { $0[$1.name] = .string($1.value) })
  }
}
