import Pictures
import Testing

/// Texts as ComfyUI, InvokeAI and NovelAI write them into PNG files.
@Suite struct ForeignRecordTests {
  private static func read(_ texts: [(String, String)]) throws -> ForeignRecord? {
    let image = Image(width: 1, height: 1, pixels: [0, 0, 0])
    let bytes = try PNG.encode(image, texts: texts.map { PNG.Text(keyword: $0, text: $1) })
    return try PictureFile(decoding: bytes).foreign
  }

  private static func check(_ record: ForeignRecord?, _ fields: [String: String]) {
    for (name, value) in fields { #expect(record?.infotext[name] == value, "\(name)") }
  }

  /// The default graph of ComfyUI with a LoRA, clip skip, and a text in a node of its own.
  static let comfy = """
    {"3": {"class_type": "KSampler", "inputs": {"seed": 156680208700286, "steps": 20, "cfg": 8.0,
      "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0, "model": ["10", 0],
      "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
     "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
     "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
     "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["11", 0]}},
     "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "text, (watermark:1.2)", "clip": ["11", 0]}},
     "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
     "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]},
      "is_changed": [NaN]},
     "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "style.safetensors",
      "strength_model": 0.8, "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]}},
     "11": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
     "12": {"class_type": "PrimitiveString", "inputs": {"value": "a bottle, NaN"}}}
    """

  @Test func comfyUI() throws {
    let record = try Self.read([("prompt", Self.comfy), ("workflow", "{\"nodes\": []}")])
    #expect(record?.program == "ComfyUI")
    #expect(record?.infotext.prompt == "a bottle, NaN")
    #expect(record?.infotext.negativePrompt == "text, (watermark:1.2)")
    Self.check(
      record,
      [
        "Steps": "20", "Sampler": "euler", "Schedule type": "karras", "CFG scale": "8",
        "Seed": "156680208700286", "Size": "512x768", "Model": "sd15.safetensors",
        "Clip skip": "2", "Loras": "style.safetensors: 0.8", "RNG": "CPU",
      ])
    #expect(record?.infotext["Denoising strength"] == nil)
    #expect(record?.notes.count == 1)
  }

  /// A second pass after an enlargement, ControlNet, and samplers made of parts.
  @Test func comfyUIWithParts() throws {
    let text = """
      {"1": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["2", 0], "guider": ["3", 0],
        "sampler": ["4", 0], "sigmas": ["5", 0], "latent_image": ["6", 0]}},
       "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
       "3": {"class_type": "CFGGuider", "inputs": {"model": ["13", 0], "positive": ["7", 0],
        "negative": ["7", 1], "cfg": 4.5}},
       "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "dpmpp_2m"}},
       "5": {"class_type": "BasicScheduler", "inputs": {"scheduler": "normal", "steps": 12}},
       "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 256, "height": 320}},
       "7": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["8", 0],
        "negative": ["9", 0], "image": ["1", 0]}},
       "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "yes"}},
       "9": {"class_type": "CLIPTextEncode", "inputs": {"text": "no"}},
       "10": {"class_type": "LatentUpscale", "inputs": {"samples": ["1", 0]}},
       "11": {"class_type": "KSampler", "inputs": {"seed": 9, "steps": 5, "cfg": 1,
        "sampler_name": "euler", "scheduler": "normal", "denoise": 0.5, "positive": ["8", 0],
        "negative": ["9", 0], "latent_image": ["10", 0]}},
       "12": {"class_type": "SaveImage", "inputs": {"images": ["11", 0]}},
       "13": {"class_type": "UNETLoader", "inputs": {"unet_name": "unet.safetensors"}}}
      """
    let record = try Self.read([("prompt", text)])
    #expect(record?.infotext.prompt == "yes" && record?.infotext.negativePrompt == "no")
    Self.check(
      record,
      [
        "Steps": "12", "Sampler": "dpmpp_2m", "CFG scale": "4.5", "Seed": "7", "Size": "256x320",
        "Model": "unet.safetensors",
      ])
    #expect(record?.infotext["Schedule type"] == nil)
    #expect(record?.notes.contains { $0.contains("2 passes") } == true)
  }

  @Test func invokeAI() throws {
    let record = try Self.read([
      (
        "invokeai_metadata",
        """
        {"app_version": "4.2.9", "generation_mode": "txt2img", "positive_prompt": "a fox",
         "negative_prompt": "blur", "width": 512, "height": 640, "seed": 9, "rand_device": "cpu",
         "cfg_scale": 7.5, "steps": 30, "scheduler": "dpmpp_2m_sde_k", "clip_skip": 1,
         "model": {"key": "x", "name": "stable-diffusion-v1-5", "base": "sd-1"},
         "loras": [{"model": {"name": "ink"}, "weight": 0.75}]}
        """
      )
    ])
    #expect(record?.program == "InvokeAI")
    #expect(record?.infotext.prompt == "a fox" && record?.infotext.negativePrompt == "blur")
    Self.check(
      record,
      [
        "Steps": "30", "Sampler": "dpmpp_2m_sde", "Schedule type": "karras", "CFG scale": "7.5",
        "Seed": "9", "Size": "512x640", "Model": "stable-diffusion-v1-5", "Clip skip": "2",
        "RNG": "CPU", "Loras": "ink: 0.75",
      ])
    let former = try Self.read([
      (
        "sd-metadata",
        """
        {"model": "stable diffusion", "model_weights": "sd-1.4", "app_version": "2.2.0", "image":
        {"prompt": [{"prompt": "a fox [blur, text] running", "weight": 1}], "steps": 50, "cfg_scale": 7,
        "seed": 3, "width": 512, "height": 512, "sampler": "k_lms", "type": "txt2img"}}
        """
      )
    ])
    #expect(former?.infotext.prompt == "a fox  running")
    #expect(former?.infotext.negativePrompt == "blur, text")
    Self.check(former, ["Steps": "50", "Sampler": "k_lms", "Seed": "3", "Model": "sd-1.4"])
  }

  @Test func novelAI() throws {
    let record = try Self.read([
      ("Title", "AI generated image"), ("Description", "{a fox}"), ("Software", "NovelAI"),
      ("Source", "Stable Diffusion F1022D28"),
      (
        "Comment",
        """
        {"steps": 28, "sampler": "k_euler_ancestral", "seed": 12, "strength": 0.69, "noise": 0.6667,
        "scale": 11.0, "uc": "lowres"}
        """
      ),
    ])
    #expect(record?.program == "NovelAI")
    #expect(record?.infotext.prompt == "{a fox}" && record?.infotext.negativePrompt == "lowres")
    Self.check(
      record, ["Steps": "28", "Sampler": "k_euler_ancestral", "Seed": "12", "CFG scale": "11"])
    #expect(record?.infotext["Denoising strength"] == nil)
    #expect(record?.notes.first?.contains("1.05") == true)
  }

  /// Records that are named but say nothing of use; links in circles end.
  @Test func broken() throws {
    let circle = """
      {"1": {"class_type": "KSampler", "inputs": {"sampler_name": ["1", 0], "model": ["1", 0],
        "positive": ["2", 0], "latent_image": ["1", 0]}},
       "2": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["2", 0]}},
       "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}
      """
    for (texts, program) in [
      ([("prompt", circle)], "ComfyUI"), ([("prompt", "{\"class_type\": ")], "ComfyUI"),
      ([("workflow", "{\"nodes\": []}")], "ComfyUI"), ([("invokeai_metadata", "[]")], "InvokeAI"),
      ([("sd-metadata", "{}")], "InvokeAI"), ([("Software", "NovelAI")], "NovelAI"),
    ] {
      let record = try Self.read(texts)
      #expect(record?.program == program)
      #expect(record?.infotext["Steps"] == nil)
    }
    #expect(try Self.read([("prompt", "a cat"), ("Software", "GIMP")]) == nil)
    #expect(try Self.read([("prompt", "{\"class_type\": ")])?.notes == [ForeignRecord.unreadable])
  }

  /// Opacity as Pillow splits it off, and nothing for opaque files.
  @Test func opacity() throws {
    #expect(
      try PictureFile.opacity(PNG.encode(Image(width: 1, height: 1, pixels: [9, 9, 9]))) == nil)
  }
}
