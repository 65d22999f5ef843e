import OrderedJSON

extension Infotext {
  /// The text with the web UI's names and values for what stable-diffusion.cpp writes in its own way;
  /// the text itself if another program wrote it.
  ///
  /// If there is a field `SDCPP`, its JSON object replaces the fields, because values in the line of
  /// fields are not quoted. A list of sigmas is in the field `Custom Sigmas`, with commas.
  ///
  /// Source: `get_image_params` and `build_sdcpp_image_metadata_json` in `examples/common/common.cpp`
  /// of stable-diffusion.cpp.
  package var withWebUIFields: Infotext {
    guard self["Version"]?.hasPrefix("stable-diffusion.cpp") == true || self["SDCPP"] != nil else {
      return self
    }
    var result = self
    if let object = (try? JSON(parsing: self["SDCPP"] ?? "")),
      object["schema"]?.string == "sdcpp.image.params/v1"
    {
      result.replace(with: object)
    } else if let scale = self["Hires scale"] {
      // The name of the upscaler.
      result.rename("Hires upscale", "Hires upscaler")
      result["Hires upscale"] = scale
      result["Hires scale"] = nil
    }
    if result["Hires resize"] == "0x0" { result["Hires resize"] = nil }
    // Models with distilled guidance read it; it is written for all.
    result["Guidance"] = nil
    // The sampler's default.
    if result["Eta"] == "inf" { result["Eta"] = nil }
    result["Custom Sigmas"] = self["Custom Sigmas"].map(Self.withoutBrackets)
    if let sigmas = Self.list(sampling(self)?["custom_sigmas"]) { result["Custom Sigmas"] = sigmas }
    return result
  }

  private func sampling(_ text: Infotext) -> JSON? {
    (try? JSON(parsing: text["SDCPP"] ?? ""))?["sampling"]
  }

  private mutating func replace(with object: JSON) {
    fields.removeAll {
      $0.name == "SDCPP" || $0.name.hasPrefix("Hires ") || $0.name.hasPrefix("ADetailer ")
    }
    prompt = object["prompt"]?["positive"]?.string ?? prompt
    negativePrompt = object["prompt"]?["negative"]?.string ?? negativePrompt
    let sampling = object["sampling"]
    let hires = object["hires"]?["enabled"] == true ? object["hires"] : nil
    let models = object["models"]
    func size(_ width: JSON?, _ height: JSON?) -> String? {
      guard let width = width?.int, let height = height?.int else { return nil }
      return "\(width)x\(height)"
    }
    let sampler = [sampling?["method"]?.string, sampling?["scheduler"]?.string]
      .compactMap { $0 }.joined(separator: " ")
    let values: [(name: String, value: String?)] = [
      ("Steps", Self.text(sampling?["steps"])),
      ("CFG scale", Self.text(sampling?["guidance"]?["txt_cfg"])),
      ("Eta", Self.text(sampling?["eta"])), ("Seed", Self.text(object["seed"])),
      ("Size", size(object["width"], object["height"])),
      ("Model", models?["model"]?.string ?? models?["diffusion_model"]?.string),
      ("VAE", models?["vae"]?.string), ("RNG", object["rng"]?.string),
      ("Sampler", sampler.isEmpty ? nil : sampler),
      ("Clip skip", Self.text(object["clip_skip"]).flatMap { (Int($0) ?? 0) < 1 ? nil : $0 }),
      ("Hires upscaler", hires?["upscaler"]?.string),
      ("Hires upscale", Self.text(hires?["scale"])),
      ("Hires resize", size(hires?["target_width"], hires?["target_height"])),
      ("Hires steps", Self.text(hires?["steps"])),
      ("Denoising strength", Self.text(hires?["denoising_strength"])),
      ("Hires custom sigmas", Self.list(hires?["custom_sigmas"])),
      ("ADetailer model", object["adetailer"]?["model"]?.string),
      ("ControlNet", models?["control_net"]?.string), ("TAESD", models?["taesd"]?.string),
      ("Loras", Self.loras(object["loras"])),
    ]
    for (name, value) in values { self[name] = value }
  }

  private mutating func rename(_ old: String, _ new: String) {
    self[new] = self[old]
    self[old] = nil
  }

  private static func loras(_ list: JSON?) -> String? {
    let rows = (list?.array ?? []).compactMap { lora in
      lora["name"]?.string.map { "\($0): \(text(lora["multiplier"]) ?? "1")" }
    }
    return rows.isEmpty ? nil : rows.joined(separator: ", ")
  }

  /// A number as the web UI writes it: 7.5, 7.
  static func text(_ value: JSON?) -> String? {
    switch value {
    case .integer(let number): return String(number)
    case .number(let number) where number.isFinite:
      // The program's numbers are of 32 bits.
      let text = "\(Float(number))"
      return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    case .string(let text): return text
    default: return nil
    }
  }

  private static func list(_ values: JSON?) -> String? {
    guard let values = values?.array, !values.isEmpty else { return nil }
    return values.map { text($0) ?? "?" }.joined(separator: ",")
  }

  private static func withoutBrackets(_ list: String) -> String {
    String(list.unicodeScalars.filter { !"[] ".unicodeScalars.contains($0) }.map(Character.init))
  }
}
