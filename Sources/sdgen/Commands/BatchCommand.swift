import ArgumentParser
import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// Runs many jobs with one model.
struct BatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batch",
    abstract: "Run jobs from a JSON Lines file, loading the model once.",
    usage: "sdgen batch <jobs> [--trust-jobs] [<arguments of sdgen generate> ...]",
    discussion: """
      Each line is an object with the arguments of sdgen generate as keys, without dashes:
        {"prompt": "a red circle", "seed": 7, "output": "circle.png"}
      Without "output", the image is named after its line, job-1.png. Each job's result is a line of \
      JSON on stdout. Jobs whose images exist are skipped, so an interrupted run can be resumed; a \
      failed job is reported and the next one starts. Arguments of sdgen generate that follow apply \
      to every job that does not set them. Jobs may be untrusted: without --trust-jobs they replace \
      no files and write only into the working directory and below.

      EXAMPLES
        sdgen batch jobs.jsonl --model sd15.sdflat
        produce-jobs | sdgen batch - >results.jsonl
      """)

  @Argument(help: ArgumentHelp("The jobs file; - for stdin.", valueName: "jobs"))
  var jobs: String

  @Flag(
    help: "Let jobs replace existing files and write outside the working directory.")
  var trustJobs = false

  /// Defaults for all jobs.
  @OptionGroup(visibility: .hidden) var options: GenerateOptions

  func run() throws {
    var defaults = options.job
    guard defaults.output == nil else {
      throw Failure.usage(
        "-o is for a single job", hint: "give each job its own \"output\"")
    }
    try defaults.requireKnownScheduler()
    // A program that reads errors as JSON must not find anything else between them.
    let isJSON = defaults.json == true
    let isSilent = isJSON || defaults.quiet == true
    // Each job's report is a line of JSON.
    defaults.json = true
    Interruption.watch(quiet: isSilent)
    let lines = try LineReader(jobs)
    var counts: [Outcome: Int] = [:]
    let models = ModelCache()
    var number = 0
    var purpose = DrawingPurpose(isOneOfMany: true)
    let limits = JobLimits(isTrusted: trustJobs, mayForce: defaults.force == true)
    var didInputsChange = false
    while !Interruption.isAsked, let content = try lines.next() {
      number += 1
      let line = JobLine(
        number: number, content: content, start: lines.start, file: jobs == "-" ? nil : jobs)
      if line.isBlank { continue }
      purpose.label = isJSON ? nil : "line \(number)"
      var (outcome, row) = Self.draw(line, defaults, limits, models, &purpose)
      if let change = Self.change(of: models) {
        (outcome, row) = (.failed, Self.row(line, Failure(change)))
        didInputsChange = true
      }
      counts[outcome, default: 0] += 1
      Console.print(row.text(.compact))
    }
    let parts = Outcome.allCases.compactMap { outcome in
      counts[outcome].map { "\(Format.count($0)) \(outcome.rawValue)" }
    }
    if !isSilent {
      Console.note("jobs: " + (parts.isEmpty ? "none" : parts.joined(separator: ", ")))
    }
    if Interruption.isAsked { throw Ended(.interrupted) }
    if didInputsChange { throw Ended(.inputOutput) }
    if counts[.failed] != nil { throw Ended(.differs) }
  }

  /// The outcome of a job.
  enum Outcome: String, CaseIterable {
    case done, skipped, failed, cancelled
  }

  /// Returns a change of a job's files while they were read. The model is then dropped, so that the
  /// next job loads the current files.
  private static func change(of models: ModelCache) -> FormatError? {
    do throws(FormatError) {
      try InputFiles.shared.requireUnchanged()
      InputFiles.shared.takeChange()
      return nil
    } catch {
      models.forget()
      InputFiles.shared.takeChange()
      return error
    }
  }

  private static func row(_ line: JobLine, _ failure: Failure) -> JSON {
    [
      "version": 1, "line": .integer(line.number), "status": .string(Outcome.failed.rawValue),
      "error": failure.json["error"] ?? .null,
    ]
  }

  /// Runs the job of a line and reports the result.
  private static func draw(
    _ line: JobLine, _ defaults: DrawingJob, _ limits: JobLimits, _ models: ModelCache,
    _ purpose: inout DrawingPurpose
  ) -> (Outcome, JSON) {
    var row: JSONObject = ["version": 1, "line": .integer(line.number)]
    do {
      let start = Console.seconds()
      let job = try line.job(over: defaults, limits)
      let drawer = JobDrawing(job)
      purpose.skipsFinished = job.force != true
      let drawing = try Failure.fromDrawing { [purpose] in
        try drawer.drawAll(models, purpose)
      }
      for file in drawing.skipped + drawing.pictures.map(\.file) {
        let identity = PicturePlan.identity(file)
        if purpose.earlier[identity] == nil { purpose.earlier[identity] = (line.number, job) }
      }
      // An error after some images were finished.
      if drawing.failure != nil {
        row["pictures"] = .array(drawer.rows(drawing))
        try drawing.requireComplete()
      }
      let isSkipped = drawing.pictures.isEmpty && drawing.cancellation == nil
      let outcome: Outcome =
        drawing.cancellation != nil ? .cancelled : isSkipped ? .skipped : .done
      row["status"] = .string(outcome.rawValue)
      row["pictures"] = .array(drawer.rows(drawing))
      row["files"] = .array(drawing.files.map { .string($0) })
      row["skipped"] = .array(drawing.skipped.map { .string($0) })
      row["seconds"] = .number(Console.seconds() - start)
      row["memory_bytes"] = .integer(residentMemory)
      row["loras"] = .array(drawing.loras)
      row["warnings"] = .array(drawing.warnings.map { .string($0) })
      return (outcome, .object(row))
    } catch {
      row["status"] = .string(Outcome.failed.rawValue)
      row["error"] = Failure(wrapping: error).json["error"]
      return (.failed, .object(row))
    }
  }

  /// The resident memory of the process, in bytes.
  private static var residentMemory: Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var pages = [0, 0]
    let count = withUnsafeMutablePointer(to: &pages[0]) { whole in
      withVaList([whole, whole]) { vfscanf(file, "%ld %ld", $0) }
    }
    return count == 2 ? pages[0] * sysconf(Int32(_SC_PAGESIZE)) : 0
  }
}
