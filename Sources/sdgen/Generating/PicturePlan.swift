import Diffusion
import Glibc
import ModelFormats
import Terminal

/// The output files and seeds of the images.
struct PicturePlan {
  let count: Int
  /// The number of images per prompt.
  private let perPrompt: Int
  private let firstSeed: UInt64
  private let job: DrawingJob

  /// - Parameters:
  ///   - noise: noise from a file determines the number of images per prompt.
  ///   - prompts: the number of prompts.
  /// - Throws: ``Failure`` if noise and job are incompatible.
  init(_ job: DrawingJob, noise: Latents?, prompts: Int = 1) throws {
    self.job = job
    if let noise {
      guard job.pictureCount == 1 || job.pictureCount == noise.batch else {
        throw Failure.usage(
          "--count is \(job.pictureCount), but the --latents file contains \(noise.batch)",
          hint: "omit --count: each of the file's latents gives one image")
      }
      for (name, side, latents) in [
        ("--width", job.width, noise.width),
        ("--height", job.height, noise.height),
      ] {
        guard latents <= 1024, side == nil || side == 8 * latents else {
          throw Failure.usage(
            "\(name) \(side ?? 8 * latents) does not match latents of shape \(noise.shape)",
            hint: "omit \(name); latents are an eighth of the image size, at most 1024 per side")
        }
      }
    }
    perPrompt = noise?.batch ?? job.pictureCount
    count = perPrompt * prompts
    do throws(JobError) {
      firstSeed = try job.firstSeed(images: perPrompt)
    } catch {
      throw Failure(error)
    }
  }

  var indices: Range<Int> { 0..<count }

  /// The prompt of an image, and its position among the prompt's images.
  func prompt(_ index: Int) -> Int { index / perPrompt }
  func position(_ index: Int) -> Int { index % perPrompt }

  /// The seed of an image; every prompt starts with the same one.
  func seed(_ index: Int) -> UInt64 { job.seed(of: position(index), first: firstSeed) }

  /// The second noise of an image.
  func variation(_ index: Int) -> NoiseVariation? { job.variation(of: position(index)) }

  /// The unfinished images, split into batches: of one prompt, and at most `size` images.
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

  /// `out.png`, or `out-1.png` and so on if there are several.
  func file(_ index: Int) -> String {
    count == 1 ? job.file : named("-\(index + 1)")
  }

  /// `out.json` next to `out.png`.
  func sidecarFile(_ index: Int) -> String {
    let file = file(index)
    return PicturePath.split(file).stem + ".json"
  }

  /// Whether a file covers all images, so that all must be generated in one run.
  var isIndivisible: Bool {
    job.saveLatents != nil || job.saveEmbeddings != nil || job.trace != nil
  }

  /// The images that exist already. Files for all images appear with the last one; if one is
  /// missing, no image counts as finished.
  var finished: [Int] {
    let there = indices.filter(isThere)
    return isIndivisible && there.count < count ? [] : there
  }

  private func isThere(_ index: Int) -> Bool { access(file(index), F_OK) == 0 }

  /// Whether an image was left by an interrupted run and must be regenerated for the files that
  /// cover all images.
  func isLeft(_ index: Int, _ purpose: DrawingPurpose) -> Bool {
    purpose.skipsFinished && isIndivisible && isThere(index)
  }

  /// `out-step-5.png`, or `out-1-step-5.png`.
  func previewFile(_ index: Int, evaluation: Int) -> String {
    named((count == 1 ? "" : "-\(index + 1)") + "-step-\(evaluation)")
  }

  /// An accompanying file, numbered like its image: `sheet.png`, or `sheet-1.png` and so on.
  func beside(_ file: String, _ index: Int) -> String {
    count == 1 ? file : named("-\(index + 1)", file)
  }

  private func named(_ suffix: String, _ file: String? = nil) -> String {
    let (stem, ending) = PicturePath.split(file ?? job.file)
    return stem + suffix + ending
  }

  /// The identity of a path in any spelling: its resolved directory and its name.
  static func identity(_ path: String) -> String {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[...$0]) } ?? "."
    let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
    guard let real = realpath(folder, nil) else { return path }
    defer { free(real) }
    return FileName.text(real) + "/" + name
  }

  /// Rejects outputs that cannot be written, before anything is computed.
  ///
  /// - Parameters:
  ///   - finished: existing images that are not regenerated.
  ///   - purpose: whether previews of an unfinished image may exist.
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
        .cannotCreate, "two outputs have this name", file: file,
        hint: "use different names for -o and the other outputs")
    }
    for file in files {
      try InputFiles.shared.requireNoInput(at: file)
      var status = stat()
      if stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
        throw FormatError(
          .cannotCreate, "is a directory", file: file, hint: "use a file inside it")
      }
      if job.force != true, !kept.contains(file), access(file, F_OK) == 0 {
        throw FormatError(
          .cannotCreate, "the file exists already", file: file,
          hint: "choose another name with -o, or replace it with --force")
      }
      let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
      if access(folder, W_OK) != 0 {
        throw FormatError(
          .cannotCreate, "the directory \(folder) is not writable", file: file,
          hint: "create the directory, or choose another with -o")
      }
    }
  }

  /// Rejects outputs that would replace inputs.
  ///
  /// - Parameter finished: existing images that are not regenerated.
  func requireNoInputs(besides finished: [Int]) throws(FormatError) {
    let indices = indices.filter { !finished.contains($0) }
    for file in outputs(indices) + previews(indices) {
      try InputFiles.shared.requireNoInput(at: file)
    }
  }

  /// The outputs of these images, without previews.
  private func outputs(_ indices: [Int]) -> [String] {
    var files = indices.map(file)
    if job.sidecar == true { files += indices.map(sidecarFile) }
    files += [job.saveLatents, job.saveEmbeddings, job.trace].compactMap { $0 }
    for file in [job.contactSheet, job.animation].compactMap({ $0 }) {
      files += indices.map { beside(file, $0) }
    }
    return files
  }

  /// All possible previews of these images.
  private func previews(_ indices: [Int]) -> [String] {
    var previews: [String] = []
    if let every = job.previewEvery {
      let steps = job.stepCount
      let second = job.hires.map { _ in job.hiresSteps ?? steps }
      let most = job.evaluationLimit(steps: steps) + (second.map(job.evaluationLimit) ?? 0)
      for index in indices {
        for evaluation in stride(from: every, to: most, by: every) {
          previews.append(previewFile(index, evaluation: evaluation))
        }
      }
    }
    return previews
  }
}
