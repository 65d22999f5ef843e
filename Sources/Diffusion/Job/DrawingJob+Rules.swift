import ModelFormats
import Pictures

// Which fields need or exclude each other.
extension DrawingJob {
  /// Rejects what cannot be drawn, whatever the model; schedulers' names apart.
  ///
  /// - Throws: ``JobError``.
  public func check() throws(JobError) {
    try checkPrompts()
    try checkSampling()
    try checkPictures()
    try checkNetworks()
    try checkOutput()
    if preview == .tiny, tinyVAE == nil {
      throw .combination(
        "tiny-vae", "\(field: "preview") tiny needs \(field: "tiny-vae")")
    }
  }

  private func checkPrompts() throws(JobError) {
    for (name, value, words) in [
      ("prompt", prompt, "the prompt" as JobText),
      ("negative", negative, "\(field: "negative")"),
    ] {
      guard let value else { continue }
      try Self.checkPrompt(value, name, words)
    }
    guard (prompt == nil) != (promptsFrom == nil) else {
      throw .combination(
        "prompt", got: prompt,
        prompt == nil
          ? "the prompt is missing; add one, or use \(field: "prompts-from")"
          : "a prompt and \(field: "prompts-from") cannot be combined")
    }
    if plainPrompt == true, let emphasis, emphasis != .original {
      throw .combination(
        "plain-prompt", "\(field: "plain-prompt") and \(field: "emphasis") cannot be combined")
    }
  }

  /// Rejects a prompt that is not a text, or would take gigabytes of memory.
  ///
  /// - Parameter words: what the prompt is called in the message.
  /// - Throws: ``JobError``.
  package static func checkPrompt(
    _ prompt: String, _ name: String = "prompt", _ words: JobText = "the prompt"
  ) throws(JobError) {
    let limit = GenerationRequest.promptLimit
    func refused(_ rest: JobText, _ reason: JobError.Reason) -> JobError {
      var message = words
      message.parts += rest.parts
      return JobError(
        reason, name, allowed: "UTF-8 text without NUL characters, up to \(limit) bytes", message)
    }
    if prompt.utf8.contains(0) {
      throw JobError(
        .zeroCharacter, name, allowed: "text without NUL characters",
        "a prompt contains a NUL character")
    }
    if FileName.isNotUTF8(prompt) { throw refused(" is not UTF-8", .kind) }
    if prompt.utf8.count > limit {
      throw refused(" has \(prompt.utf8.count) bytes (maximum \(limit)); shorten it", .range)
    }
  }

  private func checkSampling() throws(JobError) {
    if let steps, case .list(let levels) = sigmas.flatMap({ SigmaSpacing(text: $0) }),
      levels.count != steps
    {
      throw .combination(
        "steps", got: String(steps), allowed: String(levels.count),
        "\(field: "sigmas") must list one noise level per step (got \(levels.count) for \(steps) steps)"
      )
    }
    if sigmas != nil, spacing != nil {
      throw .combination(
        "spacing", "\(field: "sigmas") and \(field: "spacing") cannot be combined")
    }
    for (name, seed) in [("seed", seed), ("variation-seed", variationSeed)] {
      guard rng == .numpy, let seed, seed > Int(UInt32.max) else { continue }
      throw .combination(
        name, got: String(seed), allowed: "0 to \(UInt32.max)",
        "with \(field: "rng") numpy, \(field: name) must be 0 to \(UInt32.max) (got \(seed))")
    }
    for (name, isGiven) in [
      ("variation-seed", variationSeed != nil), ("seed-resize", seedResize != nil),
    ] where isGiven && latents != nil {
      throw .combination(name, "\(field: name) and \(field: "latents") cannot be combined")
    }
  }

  private func checkPictures() throws(JobError) {
    let needs: [(name: String, isGiven: Bool, others: [(name: String, isGiven: Bool)])] = [
      ("strength", strength != nil, [("init", initial != nil)]),
      ("mask", mask != nil, [("init", initial != nil)]),
      ("outpaint", outpaint != nil, [("init", initial != nil)]),
      ("paste-back", pasteBack == true, [("mask", mask != nil), ("outpaint", outpaint != nil)]),
      (
        "variation-seed", variationSeed != nil,
        [("variation-strength", variationStrength != nil)]
      ),
      (
        "variation-strength", variationStrength != nil, [("variation-seed", variationSeed != nil)]
      ),
      ("hires-strength", hiresStrength != nil, [("hires", hires != nil)]),
      ("hires-steps", hiresSteps != nil, [("hires", hires != nil)]),
    ]
    for (name, isGiven, others) in needs where isGiven && !others.contains(where: \.isGiven) {
      throw .combination(
        name,
        others.count == 1
          ? "\(field: name) needs \(field: others[0].name)"
          : "\(field: name) needs \(field: others[0].name) or \(field: others[1].name)"
      )
    }
  }

  private func checkNetworks() throws(JobError) {
    let controls = control?.count ?? 0
    let images = controlImage?.count ?? 0
    guard controls == images else {
      throw .combination(
        "control-image", got: String(images), allowed: String(controls),
        "each ControlNet needs one control image (got \(controls) of \(field: "control") and \(images) of \(field: "control-image"))"
      )
    }
    for (name, values) in [
      ("control-scale", controlScale ?? []), ("control-start", controlStart ?? []),
      ("control-end", controlEnd ?? []),
    ] {
      guard values.count <= 1 || values.count == controls else {
        throw .combination(
          name, got: String(values.count), allowed: "1 or \(controls)",
          "\(field: name) must have one value for all ControlNets or one for each (got \(values.count) for \(controls))"
        )
      }
      guard values.isEmpty || controls > 0 else {
        throw .combination(
          name, "\(field: name) needs \(field: "control")")
      }
    }
    for index in 0..<controls {
      let (_, start, end) = controlSettings(index)
      guard start >= end else { continue }
      throw .combination(
        "control-start", got: String(start), allowed: "below \(end)",
        "\(field: "control-start") must be below \(field: "control-end") (got \(start) and \(end))")
    }
    guard tinyVAE != nil || (tinyVAEFor ?? .all) == .all else {
      throw .combination(
        "tiny-vae-for",
        "\(field: "tiny-vae-for") needs \(field: "tiny-vae")")
    }
  }

  private func checkOutput() throws(JobError) {
    if let output {
      guard !output.isEmpty else {
        throw .combination(
          "output", got: "", allowed: "a file name",
          "\(field: "output") is empty; it must be a file name")
      }
      guard output != "-" else {
        throw .combination(
          "output", got: output, allowed: "a file name",
          "\(field: "output") must be a file name (got -); images cannot be written to stdout")
      }
      if format == nil { try Self.checkEnding("output", output, "; or set \(field: "format")") }
    }
    if let quality, compression.format == .png {
      throw .combination(
        "quality", got: String(quality),
        "\(field: "quality") applies to JPEG and WebP only; PNG is lossless")
    }
    if let contactSheet { try Self.checkEnding("contact-sheet", contactSheet, "") }
    try checkEngine()
    if let contactSheetRows, contactSheet == nil {
      throw .combination(
        "contact-sheet-rows", got: contactSheetRows,
        "\(field: "contact-sheet-rows") needs \(field: "contact-sheet")")
    }
    if let animation,
      ![".webp", ".png"].contains(PicturePath.split(animation).ending.lowercased())
    {
      throw .combination(
        "animation", got: animation, allowed: "a name that ends in .webp or .png",
        "\(field: "animation") must end in .webp or .png (got \(animation))")
    }
  }

  /// Rejects what the engine does not have.
  ///
  /// - Throws: ``JobError``.
  package func checkEngine() throws(JobError) {
    guard networkEngine != .native else {
      guard let onnxRuntime else { return }
      throw .combination(
        "onnxruntime", got: onnxRuntime,
        "\(field: "onnxruntime") needs \(field: "engine") onnxruntime")
    }
    if usesLowMemory {
      throw .combination(
        "low-memory", got: "true",
        "\(field: "low-memory") needs \(field: "engine") native; ONNX Runtime keeps weights itself")
    }
    if dtype == .bf16, !networkEngine.isOpenVINO {
      throw .combination(
        "dtype", got: "bf16",
        "\(field: "dtype") bf16 needs \(field: "engine") native or onnxruntime:openvino")
    }
  }

  /// Rejects an image's name whose ending belongs to no format; one without an ending is PNG.
  private static func checkEnding(
    _ name: String, _ path: String, _ way: JobText
  ) throws(JobError) {
    let ending = PicturePath.split(path).ending
    guard !ending.isEmpty, PictureFormat(path: path) == nil else { return }
    var message: JobText = "\(field: name) must end in .png, .jpg or .webp (got \(path))"
    message.parts += way.parts
    throw .combination(
      name, got: path, allowed: "a name that ends in .png, .jpg or .webp", message)
  }
}
