import OrderedJSON

/// What another program wrote into an image in a form of its own, with the web UI's fields.
package struct ForeignRecord: Sendable, Hashable {
  /// The program's name.
  package let program: String
  /// What can be read of it; without fields if nothing can.
  package internal(set) var infotext = Infotext(prompt: "")
  /// What cannot be read, or means something else there.
  package internal(set) var notes: [String] = []

  init(_ program: String) { self.program = program }

  /// The record among the texts of a PNG file; nil if no known program wrote one.
  package init?(texts: [PNG.Text]) {
    func text(_ keyword: String) -> String? { texts.first { $0.keyword == keyword }?.text }
    func json(_ keyword: String) -> JSON? { text(keyword).flatMap(Self.json) }
    if let prompt = text("prompt"), prompt.contains("\"class_type\"") {
      self.init(comfyUI: Self.json(prompt))
    } else if text("workflow") != nil, json("workflow")?["nodes"] != nil {
      self.init("ComfyUI")
      notes.append("only the workflow of the editor is there, not what was run (its prompt)")
    } else if text("invokeai_metadata") != nil {
      self.init(invokeAI: json("invokeai_metadata"))
    } else if text("sd-metadata") != nil {
      self.init(formerInvokeAI: json("sd-metadata"))
    } else if text("Software") == "NovelAI" {
      self.init(novelAI: json("Comment"), prompt: text("Description"))
    } else {
      return nil
    }
  }

  /// Sets a field if there is a value.
  mutating func set(_ name: String, _ value: String?) {
    if let value, !value.isEmpty { infotext[name] = value }
  }

  /// Sets a field to a number or text of JSON.
  mutating func set(_ name: String, _ value: JSON?) { set(name, Infotext.text(value)) }

  mutating func setSize(_ width: JSON?, _ height: JSON?) {
    guard let width = width?.int, let height = height?.int else { return }
    infotext["Size"] = "\(width)x\(height)"
  }

  package static let unreadable = "its JSON cannot be read"

  /// JSON as Python writes it: NaN and infinities count as null.
  private static func json(_ text: String) -> JSON? {
    if let json = try? JSON(parsing: text) { return json }
    var result: [UInt8] = []
    var isQuoted = false
    let bytes = Array(text.utf8)
    let words = ["-Infinity", "Infinity", "NaN"].map { Array($0.utf8) }
    var position = 0
    while position < bytes.count {
      let byte = bytes[position]
      if isQuoted, byte == UInt8(ascii: "\\"), position + 1 < bytes.count {
        result += bytes[position...(position + 1)]
        position += 2
        continue
      }
      if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
      if !isQuoted, let word = words.first(where: { bytes[position...].starts(with: $0) }) {
        result += Array("null".utf8)
        position += word.count
        continue
      }
      result.append(byte)
      position += 1
    }
    return try? JSON(parsing: String(decoding: result, as: UTF8.self))
  }
}

extension ForeignRecord {
  /// InvokeAI from version 3 on.
  ///
  /// Source: `CoreMetadataInvocation` in `invokeai/app/invocations/metadata.py` of InvokeAI.
  private init(invokeAI json: JSON?) {
    self.init("InvokeAI")
    guard let json, json.object != nil else {
      notes.append(Self.unreadable)
      return
    }
    infotext.prompt = json["positive_prompt"]?.string ?? ""
    infotext.negativePrompt = json["negative_prompt"]?.string ?? ""
    set("Steps", json["steps"])
    setInvokeAISampler(json["scheduler"]?.string)
    set("CFG scale", json["cfg_scale"])
    set("Seed", json["seed"])
    setSize(json["width"], json["height"])
    func name(_ model: JSON?) -> String? {
      model?["name"]?.string ?? model?["model_name"]?.string ?? model?.string
    }
    set("Model", name(json["model"]))
    set("VAE", name(json["vae"]))
    // The layers that are skipped.
    if let skip = json["clip_skip"]?.int, skip > 0 { set("Clip skip", String(skip + 1)) }
    if json["rand_device"]?.string != "cuda" { set("RNG", "CPU") }
    if json["init_image"]?.string != nil || json["generation_mode"]?.string == "img2img" {
      set("Denoising strength", json["strength"])
    }
    let loras = (json["loras"]?.array ?? []).compactMap { lora in
      (name(lora["model"]) ?? name(lora["lora"])).map {
        "\($0): \(Infotext.text(lora["weight"]) ?? "1")"
      }
    }
    set("Loras", loras.joined(separator: ", "))
    for (key, label) in [
      ("controlnets", "ControlNets"), ("ipAdapters", "IP adapters"),
      ("t2iAdapters", "T2I adapters"),
    ] where json[key]?.array?.isEmpty == false { notes.append("its \(label) are not read") }
    if json["hrf_enabled"] == true { notes.append("its high-resolution fix is not read") }
    noteWeights("weights, written there as (word)1.2 or word+")
  }

  /// InvokeAI up to version 2.
  private init(formerInvokeAI json: JSON?) {
    self.init("InvokeAI")
    guard let image = json?["image"], image.object != nil else {
      notes.append(Self.unreadable)
      return
    }
    let prompt =
      image["prompt"]?.string ?? image["prompt"]?.array?.compactMap { $0["prompt"]?.string }
      .joined(separator: " ") ?? ""
    // What the image should not show is in square brackets.
    var rest = prompt[...]
    var negatives: [String] = []
    while let open = rest.firstIndex(of: "["), let close = rest[open...].firstIndex(of: "]") {
      infotext.prompt += rest[..<open]
      negatives.append(String(rest[rest.index(after: open)..<close]))
      rest = rest[rest.index(after: close)...]
    }
    infotext.prompt += rest
    infotext.negativePrompt = negatives.joined(separator: ", ")
    set("Steps", image["steps"])
    setInvokeAISampler(image["sampler"]?.string)
    set("CFG scale", image["cfg_scale"])
    set("Seed", image["seed"])
    setSize(image["width"], image["height"])
    set("Model", json?["model_weights"])
    if image["type"]?.string == "img2img" { set("Denoising strength", image["strength"]) }
    noteWeights("weights, written there as (word)1.2 or word+")
  }

  /// `dpmpp_2m_k` is dpmpp_2m with Karras' sigmas; `kdpm_2` is DPM2.
  private mutating func setInvokeAISampler(_ name: String?) {
    guard var name else { return }
    let isKarras = name.hasSuffix("_k")
    if isKarras { name.removeLast(2) }
    if name.hasPrefix("kdpm_") { name.removeFirst() }
    if name == "dpm_2_a" { name = "dpm_2_ancestral" }
    set("Sampler", name)
    if isKarras { set("Schedule type", "karras") }
  }

  /// NovelAI.
  ///
  /// Source: the texts of its PNG files, `Comment` a JSON object of the request.
  private init(novelAI json: JSON?, prompt: String?) {
    self.init("NovelAI")
    guard let json, json.object != nil else {
      infotext.prompt = prompt ?? ""
      notes.append(Self.unreadable)
      return
    }
    infotext.prompt = json["prompt"]?.string ?? prompt ?? ""
    infotext.negativePrompt = json["uc"]?.string ?? ""
    set("Steps", json["steps"])
    set("Sampler", json["sampler"])
    if let schedule = json["noise_schedule"]?.string, schedule != "native" {
      set("Schedule type", schedule)
    }
    set("CFG scale", json["scale"])
    set("Seed", json["seed"])
    setSize(json["width"], json["height"])
    if json["request_type"]?.string?.contains("Img2Img") == true {
      set("Denoising strength", json["strength"])
    }
    if let rescale = json["cfg_rescale"]?.double, rescale != 0 {
      notes.append("its guidance rescale (\(rescale)) is not used")
    }
    if json["sm"] == true { notes.append("its SMEA sampling is not used") }
    noteWeights("{word}, which weighs 1.05 times there, and is text here", marks: "{}")
  }

  /// Notes a syntax of prompts that means something else here, if a prompt has its characters.
  private mutating func noteWeights(_ syntax: String, marks: String = "()+") {
    let prompts = infotext.prompt + infotext.negativePrompt
    if prompts.contains(where: { marks.contains($0) }) {
      notes.append("prompts may hold " + syntax)
    }
  }
}
