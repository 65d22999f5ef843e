// From a job to what a model is asked for.
extension DrawingJob {
  /// The images that the job asks for, each with the next seed. If it gives no seed, the first is
  /// random.
  ///
  /// Nothing is read: a job may come from others, and must not choose files. One that names images, masks,
  /// latents or a file of prompts is rejected; read those that are trusted, and set
  /// ``GenerationRequest/initial``, ``GenerationRequest/noise`` and ``GenerationRequest/networks``. Fields
  /// about the model and about output are for those who load it and write the images.
  ///
  /// - Parameter defaultGuidance: the guidance scale if the job does not give one.
  /// - Throws: as ``check()``; ``JobError`` `combination` for a scheduler that is not known, a field that
  ///   names a file to read, and seeds that leave their range.
  public func requests(defaultGuidance: Double = 7.5) throws(JobError) -> [GenerationRequest] {
    for field in fields where field.traits.contains(.input) && !field.traits.contains(.loading) {
      throw .combination(
        field.name, got: files(field).first,
        "\(field: field.name) names a file; a job alone reads none")
    }
    try check()
    if let scheduler, schedulerDescriptor == nil {
      throw .combination(
        "scheduler", got: scheduler, allowed: SchedulerDescriptor.names(),
        "\(field: "scheduler") is \(scheduler), which is not known")
    }
    var request = request(prompt ?? "")
    request.guidanceScale = Float(guidance?.value ?? defaultGuidance)
    let first = try firstSeed(images: pictureCount)
    return (0..<pictureCount).map { index in
      var one = request
      one.seed = seed(of: index, first: first)
      one.variation = variation(of: index)
      return one
    }
  }

  /// The seed of the first of so many images of a prompt; random if the job gives none.
  ///
  /// - Throws: ``JobError`` `combination` if the last seed exceeds the range of seeds.
  package func firstSeed(images: Int) throws(JobError) -> UInt64 {
    let further = UInt64(max(0, images - 1))
    let most = rng == .numpy ? UInt64(UInt32.max) : UInt64(Int.max)
    // The seed that increases from image to image.
    let (name, counted) = variationSeed.map { ("variation-seed", $0) } ?? ("seed", seed ?? 0)
    guard further <= UInt64(UInt32.max), UInt64(max(0, counted)) <= most - further else {
      throw .combination(
        name, got: variationSeed == nil ? seed.map(String.init) : String(counted),
        allowed: "0 to \(most - min(further, most))",
        "\(images) images from \(field: name) \(counted) exceed the range of seeds, 0 to \(most); use a smaller \(field: name) or fewer images"
      )
    }
    return seed.map { UInt64(max(0, $0)) }
      ?? UInt64(UInt32.random(in: 0...(.max - UInt32(further))))
  }

  /// The seed of an image of a prompt. Each image has the next seed, so that one of many can be
  /// reproduced alone. If there is a variation seed, that one increases instead, as in the web UI.
  ///
  /// - Parameters:
  ///   - index: the index of the image among those of its prompt.
  ///   - first: the seed of the first one.
  package func seed(of index: Int, first: UInt64) -> UInt64 {
    variationSeed == nil ? first &+ UInt64(index) : first
  }

  /// The second noise of an image of a prompt; nil if the job asks for none.
  package func variation(of index: Int) -> NoiseVariation? {
    guard let variationSeed, let variationStrength else { return nil }
    return NoiseVariation(
      seed: UInt64(max(0, variationSeed)) &+ UInt64(index), strength: variationStrength.value)
  }

  /// What a request says of prompts, sampling and approximations; what comes from files is missing.
  package func request(_ prompt: String) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.negativePrompt = negative ?? ""
    request.promptStyle = promptStyle
    request.steps = stepCount
    request.scheduler = schedulerDescriptor
    request.eta = eta.map { Float($0.value) }
    request.sampling.sigmas = noiseLevels
    request.sampling.spacing = spacing
    request.sampling.prediction = prediction
    request.sampling.startsWithRungeKutta = pndmStart.map { $0 == .rungeKutta }
    request.randomSource = rng ?? .torch
    request.seedSize = seedResize.flatMap { SeedSize(text: $0) }
    request.width = width
    request.height = height
    request.hiresPass = hiresPass
    request.networks.cacheInterval = cacheInterval ?? 1
    if let interval = guidanceInterval.flatMap({ ShareInterval(text: $0) }) {
      request.networks.guidanceInterval = interval.shares
    }
    return request
  }
}
