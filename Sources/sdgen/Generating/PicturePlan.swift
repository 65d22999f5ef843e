import Diffusion
import Glibc
import ModelFormats
import Terminal

/// Which files the pictures go to, and which seeds they start from.
struct PicturePlan {
  let count: Int
  /// The pictures of each prompt.
  private let perPrompt: Int
  private let firstSeed: UInt64
  private let job: DrawingJob

  /// - Parameters:
  ///   - noise: noise from a file decides how many pictures there are of each prompt.
  ///   - prompts: how many prompts are drawn.
  /// - Throws: ``Failure`` where noise and job do not go together.
  init(_ job: DrawingJob, noise: Latents?, prompts: Int = 1) throws {
    self.job = job
    if let noise {
      guard job.pictureCount == 1 || job.pictureCount == noise.batch else {
        throw Failure.usage(
          "--count is \(job.pictureCount), but the file of --latents holds \(noise.batch)",
          hint: "leave --count out: each of the file's gives one picture")
      }
      for (name, side, latents) in [
        ("--width", job.width, noise.width),
        ("--height", job.height, noise.height),
      ] {
        guard latents <= 1024, side == nil || side == 8 * latents else {
          throw Failure.usage(
            "\(name) \(side ?? 8 * latents) does not go with latents of \(noise.shape)",
            hint: "leave \(name) out; latents are an eighth of the picture, at most 1024 a side")
        }
      }
    }
    perPrompt = noise?.batch ?? job.pictureCount
    count = perPrompt * prompts
    // Each picture of a prompt has the next seed, and the last must be one still.
    let further = UInt64(perPrompt - 1)
    let isNumPy = job.rng == .numpy
    let most = isNumPy ? UInt64(UInt32.max) : UInt64(Int.max)
    let counted: (name: String, seed: Int?) =
      job.variationSeed == nil ? ("seed", job.seed) : ("variation-seed", job.variationSeed)
    guard further <= UInt64(UInt32.max), (counted.seed ?? 0) <= most - further else {
      throw Failure.usage(
        "--\(counted.name) \(counted.seed ?? 0) and \(further) more leave the range of seeds,"
          + " 0 to \(most)", hint: "give a smaller --\(counted.name), or fewer pictures")
    }
    firstSeed =
      job.seed.map(UInt64.init)
      ?? UInt64(UInt32.random(in: 0...(.max - UInt32(further))))
  }

  var indices: Range<Int> { 0..<count }

  /// The prompt of a picture, and which of the prompt's pictures it is.
  func prompt(_ index: Int) -> Int { index / perPrompt }
  func position(_ index: Int) -> Int { index % perPrompt }

  /// Each picture of a prompt has the next seed, so that one of many can be drawn again alone; every
  /// prompt begins with the same one. With a variation seed that counts on instead, as in the web UI.
  func seed(_ index: Int) -> UInt64 {
    job.variationSeed == nil ? firstSeed &+ UInt64(position(index)) : firstSeed
  }

  /// The second noise of a picture.
  func variation(_ index: Int) -> NoiseVariation? {
    guard let seed = job.variationSeed, let strength = job.variationStrength else { return nil }
    return NoiseVariation(
      seed: UInt64(seed) &+ UInt64(position(index)), strength: strength.value)
  }

  /// The pictures that are not finished, cut into those that are drawn at once: of one prompt, and at
  /// most `size` of them.
  func batches(of size: Int, besides finished: [Int]) -> [[Int]] {
    var batches: [[Int]] = []
    for index in indices where !finished.contains(index) {
      if let last = batches.last, last.count < size, prompt(last[0]) == prompt(index) {
        batches[batches.count - 1].append(index)
      } else {
        batches.append([index])
      }
    }
    return batches
  }

  /// `out.png`, or `out-1.png` and so on where there are several.
  func file(_ index: Int) -> String {
    count == 1 ? job.file : named("-\(index + 1)")
  }

  /// `out.json` beside `out.png`.
  func sidecarFile(_ index: Int) -> String {
    let file = file(index)
    return PicturePath.split(file).stem + ".json"
  }

  /// Whether a file is written for all pictures together, so that all are drawn in one run.
  var isIndivisible: Bool { job.saveLatents != nil || job.trace != nil }

  /// Those whose picture is there already. Where something is written for all together it is there
  /// with the last, and where one is missing none is finished.
  var finished: [Int] {
    let there = indices.filter(isThere)
    return isIndivisible && there.count < count ? [] : there
  }

  private func isThere(_ index: Int) -> Bool { access(file(index), F_OK) == 0 }

  /// Whether a picture is there that a run left which was stopped before the last, and that is drawn
  /// again for what is written for all together.
  func isLeft(_ index: Int, _ purpose: DrawingPurpose) -> Bool {
    purpose.skipsFinished && isIndivisible && isThere(index)
  }

  /// `out-step-5.png`, or `out-1-step-5.png`.
  func previewFile(_ index: Int, evaluation: Int) -> String {
    named((count == 1 ? "" : "-\(index + 1)") + "-step-\(evaluation)")
  }

  /// What goes with a picture, as it is numbered: `sheet.png`, or `sheet-1.png` and so on.
  func beside(_ file: String, _ index: Int) -> String {
    count == 1 ? file : named("-\(index + 1)", file)
  }

  private func named(_ suffix: String, _ file: String? = nil) -> String {
    let (stem, ending) = PicturePath.split(file ?? job.file)
    return stem + suffix + ending
  }

  /// The same for all spellings of a path: what its folder really is, and its name.
  static func identity(_ path: String) -> String {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[...$0]) } ?? "."
    let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
    guard let real = realpath(folder, nil) else { return path }
    defer { free(real) }
    return FileName.text(real) + "/" + name
  }

  /// Refuses before anything is computed what could not be written afterwards.
  ///
  /// - Parameters:
  ///   - finished: pictures that are there and are not drawn again.
  ///   - purpose: whether previews may be there, of a picture that was not finished.
  func requireFreeOutputs(
    besides finished: [Int], _ purpose: DrawingPurpose
  ) throws(FormatError) {
    let indices = indices.filter { !finished.contains($0) }
    let previews = previews(indices)
    let files = outputs(indices) + previews
    var kept = Set(purpose.skipsFinished || job.force == true ? previews : [])
    for index in indices where isLeft(index, purpose) {
      kept.formUnion([file(index), sidecarFile(index)])
      for file in [job.contactSheet, job.animation].compactMap({ $0 }) {
        kept.insert(beside(file, index))
      }
    }
    var seen = Set<String>()
    if let file = files.first(where: { !seen.insert(Self.identity($0)).inserted }) {
      throw FormatError(
        .cannotCreate, "two outputs would have this name", file: file,
        hint: "give -o and the other outputs different names")
    }
    for file in files {
      try InputFiles.shared.requireNoInput(at: file)
      var status = stat()
      if stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
        throw FormatError(
          .cannotCreate, "this is a directory", file: file, hint: "name a file inside it")
      }
      if job.force != true, !kept.contains(file), access(file, F_OK) == 0 {
        throw FormatError(
          .cannotCreate, "the file exists already", file: file,
          hint: "choose another name with -o, or replace it with --force")
      }
      let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
      if access(folder, W_OK) != 0 {
        throw FormatError(
          .cannotCreate, "the folder \(folder) cannot be written to", file: file,
          hint: "make the folder, or choose another with -o")
      }
    }
  }

  /// Refuses outputs that would replace what was read.
  ///
  /// - Parameter finished: pictures that are there and are not drawn again.
  func requireNoInputs(besides finished: [Int]) throws(FormatError) {
    let indices = indices.filter { !finished.contains($0) }
    for file in outputs(indices) + previews(indices) {
      try InputFiles.shared.requireNoInput(at: file)
    }
  }

  /// What is written for these pictures, previews apart.
  private func outputs(_ indices: [Int]) -> [String] {
    var files = indices.map(file)
    if job.sidecar == true { files += indices.map(sidecarFile) }
    if let latents = job.saveLatents { files.append(latents) }
    if let trace = job.trace { files.append(trace) }
    for file in [job.contactSheet, job.animation].compactMap({ $0 }) {
      files += indices.map { beside(file, $0) }
    }
    return files
  }

  /// All previews that these pictures may have.
  private func previews(_ indices: [Int]) -> [String] {
    var previews: [String] = []
    if let every = job.previewEvery {
      // No scheduler evaluates the UNet more than twice and once more for each step; but four times
      // for each of the first three where pndm starts with Runge-Kutta steps.
      let isLonger = job.pndmStart == .rungeKutta
      func evaluations(_ steps: Int) -> Int {
        isLonger ? max(2 * steps + 1, steps + 9) : 2 * steps + 1
      }
      let steps = job.stepCount
      let second = job.hires.map { _ in job.hiresSteps ?? steps }
      let most = evaluations(steps) + (second.map(evaluations) ?? 0)
      for index in indices {
        for evaluation in stride(from: every, to: most, by: every) {
          previews.append(previewFile(index, evaluation: evaluation))
        }
      }
    }
    return previews
  }
}
