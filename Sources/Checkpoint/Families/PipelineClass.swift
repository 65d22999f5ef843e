import ModelFormats
import OrderedJSON

/// The diffusers pipeline class and the scheduler of a checkpoint without `model_index.json`, as
/// far as its networks and marks determine them.
///
/// Sources: diffusers' pipelines; the keys `v_pred`, `ztsnr` and `edm_vpred.sigma_max`, and
/// `modelspec.prediction_type` and `modelspec.predict_key` in the metadata of safetensors, are marks
/// that web UIs read.
struct PipelineClass {
  /// What an index lists of a checkpoint's components.
  static let parts: [ComponentName] = NetworkDescriptor.all.filter { $0.role != .addition }
    .map(\.component)

  /// The class; nil if no known class has these networks.
  private(set) var name: String?
  /// The reason for this class, or for none.
  private(set) var reason = ""
  /// Parts of the pipeline that checkpoints here never contain.
  private(set) var lacking: [String] = []
  /// The scheduler's configuration; nil if none is known to be right.
  private(set) var scheduler: JSONObject?
  /// The model whose scheduler it is.
  private(set) var schedulerReason = "Stable Diffusion 1.x"
  /// The tensor or metadata entry with the prediction type.
  private(set) var predictionMark: String?
  /// Whether it was distilled for few steps.
  private(set) var isConsistency = false

  init(of source: ModelCheckpoint, _ components: [Component]) {
    if let unknown = source.components.first(where: { component in
      component.isUnknownNetwork && !component.isHelper(among: source.components)
    }) {
      reason = "\(unknown.name) is a network that is not known"
      return
    }
    let unet = components.first { $0.name == .unet }?.configuration?.object
    isConsistency = components.contains(where: \.isConsistencyModel)
    chooseClass(unet, components)
    chooseScheduler(PredictionMarks(source))
  }

  private mutating func chooseClass(_ unet: JSONObject?, _ components: [Component]) {
    let channels = unet?["in_channels"]?.int ?? 0
    let takes = "its UNet takes \(channels.of("channel"))"
    if components.contains(where: { $0.name == .controlNet }), channels == 4 {
      (name, reason) = ("StableDiffusionControlNetPipeline", "it holds a ControlNet")
      return
    }
    switch channels {
    case 4 where isConsistency:
      name = "LatentConsistencyModelPipeline"
      reason = "its UNet embeds the guidance (time_cond_proj_dim), as latent consistency models do"
    case 4: (name, reason) = ("StableDiffusionPipeline", takes)
    case 5:
      (name, reason) = ("StableDiffusionDepth2ImgPipeline", takes + ": latents and a depth map")
      lacking = ["depth_estimator"]
    case 8:
      (name, reason) = (
        "StableDiffusionInstructPix2PixPipeline", takes + ": latents and an image's latents"
      )
    case 9:
      (name, reason) = (
        "StableDiffusionInpaintPipeline", takes + ": latents, a masked image's latents and the mask"
      )
    default: reason = "no pipeline is known whose UNet takes \(channels.of("channel"))"
    }
  }

  private mutating func chooseScheduler(_ marks: PredictionMarks) {
    predictionMark = marks.mark
    if marks.isEDM {
      reason =
        "the tensor \(marks.mark ?? "") marks a noise schedule of EDM, which is not known here"
      name = nil
      return
    }
    var object: JSONObject = [
      "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
      "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
      "num_train_timesteps": 1000,
      "prediction_type": marks.isVelocity ? "v_prediction" : "epsilon",
      "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": .null,
    ]
    if isConsistency {
      object["_class_name"] = "LCMScheduler"
      object["original_inference_steps"] = 50
      object["set_alpha_to_one"] = true
      object["skip_prk_steps"] = nil
      object["timestep_scaling"] = 10.0
      schedulerReason = "latent consistency models"
    } else if marks.isVelocity || marks.hasZeroTerminalSNR {
      // PNDM starts at a timestep without signal, where v-prediction fails.
      object["_class_name"] = "DDIMScheduler"
      schedulerReason = "a model that predicts velocity, as \(marks.mark ?? "") says"
      if marks.hasZeroTerminalSNR {
        object["rescale_betas_zero_snr"] = true
        object["timestep_spacing"] = "trailing"
        schedulerReason += ", with betas rescaled to no signal at the end (ztsnr)"
      }
    }
    scheduler = object
  }
}

/// A file's marks of its prediction type, besides its networks.
struct PredictionMarks {
  private(set) var isVelocity = false
  private(set) var hasZeroTerminalSNR = false
  private(set) var isEDM = false
  /// The metadata key used by trainers, with `v` or `epsilon`; ComfyUI has written its own key.
  static let predictionKey = "modelspec.prediction_type"
  /// The tensor or metadata entry with this information.
  private(set) var mark: String?

  init(_ source: ModelCheckpoint) {
    for component in source.components where component.name == .other {
      for tensor in component.tensors
      where Leftover.kind(of: tensor.name) == .predictionMarks {
        mark = mark ?? tensor.displayName
        switch tensor.name.split(separator: ".").last {
        case "v_pred": isVelocity = true
        // Only v-prediction models learn from pure noise.
        case "ztsnr": (isVelocity, hasZeroTerminalSNR) = (true, true)
        default: isEDM = true
        }
      }
    }
    let pairs = source.components.first?.metadata ?? []
    let keys = [Self.predictionKey, "modelspec.predict_key"]
    if mark == nil, let pair = pairs.first(where: { keys.contains($0.key) }) {
      isVelocity = pair.value == "v"
      if isVelocity || pair.value == "epsilon" { mark = "\(pair.key) (\(pair.value))" }
    }
  }
}
