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
      one.seed = first + UInt64(index)
      return one
    }
  }

  /// The seed of the first of so many images of a prompt, each of which has the next; random if the
  /// job gives none.
  ///
  /// - Throws: ``JobError`` `combination` if the last seed would leave the range of seeds.
  package func firstSeed(images: Int) throws(JobError) -> UInt64 {
    let further = UInt64(max(0, images - 1))
    let most = rng == .numpy ? UInt64(UInt32.max) : UInt64(Int.max)
    guard further <= UInt64(UInt32.max), UInt64(max(0, seed ?? 0)) <= most - further else {
      throw .combination(
        "seed", got: seed.map(String.init), allowed: "0 to \(most - min(further, most))",
        "\(field: "seed") \(seed ?? 0) and \(further) more leave the range of seeds, 0 to \(most); give a smaller \(field: "seed"), or fewer pictures"
      )
    }
    return seed.map { UInt64(max(0, $0)) }
      ?? UInt64(UInt32.random(in: 0...(.max - UInt32(further))))
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
    request.width = width
    request.height = height
    request.enlargement = enlargement
    request.networks.cacheInterval = cacheInterval ?? 1
    if let interval = guidanceInterval.flatMap({ ShareInterval(text: $0) }) {
      request.networks.guidanceInterval = interval.shares
    }
    return request
  }
}
