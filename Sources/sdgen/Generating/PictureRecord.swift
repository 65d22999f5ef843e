import Checkpoint
import Diffusion
import Engine
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// What a picture remembers of how it was made: the web UI's text, and the arguments of its job.
struct PictureRecord {
  private let options: GenerateOptions
  private let arguments: JobArguments
  private let modelName: String
  private let modelHash: String?
  /// The files that went in, by their argument: nil for what is no file.
  private let files: [(argument: String, hashes: [FileHashes?])]
  /// Whether the arguments alone give this one picture again.
  var isRepeatable = true
  /// What each LoRA changed, and what of it was not used.
  var loras: [JSON] = []

  /// - Throws: ``FormatError`` where a file cannot be read.
  init(
    _ options: GenerateOptions, _ arguments: JobArguments, modelPath: String, _ digests: FileDigests
  ) throws {
    self.options = options
    self.arguments = arguments.withOwnSchedulerName
    modelName = Self.name(of: modelPath)
    modelHash = options.output.modelHash ? try Self.hash(of: modelPath) : nil
    files = try ["init", "mask", "control-image", "lora", "embedding"].compactMap { name in
      guard let value = arguments[name] else { return nil }
      let paths = (value.array ?? [value]).compactMap(\.string)
      return (name, try paths.map { try digests.hashes(of: FileDigests.path($0, of: name)) })
    }
  }

  /// The first ten digits of the SHA-256 of a model of one file; nil of a directory.
  private static func hash(of path: String) throws -> String? {
    switch try ModelCheckpoint.open(path).layout {
    case .repository, .component: nil
    case .file: try FileHashes.of([path])[0].autoV2
    }
  }

  /// `sd15` of `models/sd15.safetensors`.
  static func name(of path: String) -> String {
    let last = path.split(separator: "/").last.map(String.init) ?? path
    let (stem, ending) = PicturePlan.split(last)
    let known = [".safetensors", ".ckpt", ".sdflat", ".gguf", ".pt", ".bin"]
    return known.contains(ending) ? stem : last
  }

  /// What goes into a picture's file.
  func metadata(of request: GenerationRequest, _ generation: Generation) -> PictureFile.Metadata {
    PictureFile.Metadata(
      parameters: infotext(request, generation).text,
      job: isRepeatable ? job(request, generation).text(.compact) : nil)
  }

  /// What goes beside it.
  func sidecar(of request: GenerationRequest, _ generation: Generation, file: String) -> JSON {
    let text = infotext(request, generation)
    let timings = generation.timings
    return [
      "version": 1, "file": .string(file), "parameters": .string(text.text),
      "fields": text.json, "job": isRepeatable ? job(request, generation) : .null,
      "safety": generation.safety?.json ?? .null,
      "loras": .array(loras.map(Self.withoutFolder)),
      "timings": [
        "text_encoder": .number(timings.textEncoder),
        "unet": .array(timings.unet.map { .number($0) }), "scheduler": .number(timings.scheduler),
        "vae": .number(timings.vae), "total": .number(timings.total),
      ],
    ]
  }

  /// A file by its name, as elsewhere in a record.
  private static func withoutFolder(_ row: JSON) -> JSON {
    guard var object = row.object, let path = object["file"]?.string else { return row }
    object["file"] = .string(path.split(separator: "/").last.map(String.init) ?? path)
    return .object(object)
  }

  private func infotext(_ request: GenerationRequest, _ generation: Generation) -> Infotext {
    typealias Field = Infotext.Field
    // The size of the first pass, as the web UI has it.
    let scale = request.enlargement
    let size =
      scale == nil
      ? (generation.image.width, generation.image.height)
      : (generation.noise.width * 8, generation.noise.height * 8)
    var fields = [Field("Steps", String(request.steps))]
    fields +=
      SamplerLabel(
        scheduler: generation.scheduler.name, sigmas: arguments.text("sigmas")
      ).fields
    fields += [
      Field("CFG scale", Self.number(Double(request.guidanceScale))),
      Field("Seed", String(request.seed)), Field("Size", "\(size.0)x\(size.1)"),
    ]
    if let modelHash { fields.append(Field("Model hash", modelHash)) }
    fields.append(Field("Model", modelName))
    if let strength = request.enlargement?.strength ?? request.initial?.strength {
      fields.append(Field("Denoising strength", Self.number(strength)))
    }
    if let skip = arguments.text("clip-skip"), skip != "1" {
      fields.append(Field("Clip skip", skip))
    }
    let merged = options.approximations.tokenMerging
    if merged > 0 { fields.append(Field("Token merging ratio", Self.number(merged))) }
    if let eta = arguments.text("eta") { fields.append(Field("Eta", eta)) }
    if let hash = hashes(of: "init").first??.autoV2 {
      fields.append(Field("Init image hash", hash))
    }
    // The web UI draws on the GPU where nothing is said.
    let sources = ["cuda": "NV", "torch": "CPU"]
    let source = arguments.text("rng") ?? "torch"
    fields.append(Field("RNG", sources[source] ?? source))
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

  private func hashes(of argument: String) -> [FileHashes?] {
    files.first { $0.argument == argument }?.hashes ?? []
  }

  /// What the web UI says of LoRAs and embeddings: twelve digits each of the SHA-256, of LoRAs in
  /// safetensors files without their headers.
  private var networkHashes: [Infotext.Field] {
    let loras = zip(options.networks.lora, hashes(of: "lora")).compactMap { file, hashes in
      hashes.map { hashes in
        let name = Self.name(of: file.path).filter { !":,".contains($0) }
        return "\(name): \(hashes.autoV3 ?? String(hashes.sha256.prefix(12)))"
      }
    }
    let embeddings = zip(options.prompt.style.embeddings, hashes(of: "embedding"))
      .compactMap { argument, hashes in
        hashes.map { hashes in
          let (path, token) = PromptStyleOptions.embedding(argument)
          return "\(token ?? Self.name(of: path)): \(hashes.sha256.prefix(12))"
        }
      }
    return [("Lora hashes", loras), ("TI hashes", embeddings)].filter { !$0.1.isEmpty }
      .map { Infotext.Field($0.0, $0.1.joined(separator: ", ")) }
  }

  /// The first ten digits of pictures, as web UIs have them; of what may be given several times a
  /// list of whole ones.
  private static func json(_ hashes: [FileHashes?], of argument: String) -> JSON {
    guard ArgumentTable.generate[argument]?.isRepeating == true else {
      return hashes.first.flatMap { $0 }.map { JSON.string($0.autoV2) } ?? .null
    }
    return .array(hashes.map { $0.map { .string($0.sha256) } ?? .null })
  }

  /// As Python writes it, whole numbers without their fraction: 7.5, 7.
  private static func number(_ value: Double) -> String {
    // Guidance passed through 32 bits; the shortest number that gives them is the one asked for.
    let text = "\(Float(value))"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// The arguments that give this picture alone, files by their names without folders.
  private func job(_ request: GenerationRequest, _ generation: Generation) -> JSON {
    var job = arguments.filtered(Self.isRecorded).withoutFolders
    job["prompt"] = .string(request.prompt)
    if !request.negativePrompt.isEmpty { job["negative"] = .string(request.negativePrompt) }
    job["seed"] = Int(exactly: request.seed).map { .integer($0) }
    job["steps"] = .integer(request.steps)
    job["scheduler"] = .string(generation.scheduler.name)
    job["guidance"] = arguments["guidance"] ?? .number(Double(request.guidanceScale))
    // What auto meant on this CPU; another may choose otherwise.
    job["dtype"] = .string(options.model.dtype.precision == .bf16 ? "bf16" : "f32")
    if let initial = request.initial {
      job["strength"] = .number(initial.strength)
    } else {
      job["width"] = .integer(generation.noise.width * 8)
      job["height"] = .integer(generation.noise.height * 8)
    }
    var result: JSONObject = [
      "version": 1, "program": .string("sdloom \(toolVersion)"), "model": .string(modelName),
      "arguments": .object(job.inOrder.object),
      "files": .object(
        files.reduce(into: JSONObject()) { $0[$1.argument] = Self.json($1.hashes, of: $1.argument) }
      ),
    ]
    result["safety"] = generation.safety?.json
    return .object(result)
  }

  /// Whether an argument says what one picture looks like: a picture may come from a stranger, and
  /// must not say which files are written, or read from anywhere.
  static func isRecorded(_ argument: ArgumentTable.Entry) -> Bool {
    argument.name == "quality"
      || (!["Output", "Watching"].contains(argument.section)
        && !["count", "batch-size", "prompts-from", "model"].contains(argument.name))
  }
}

extension Infotext {
  /// The fields as an object; of those of one name the last counts.
  var json: JSON {
    .object(fields.reduce(into: JSONObject()) { $0[$1.name] = .string($1.value) })
  }
}
