import ArgumentParser
import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// Draws many jobs with one model.
struct BatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batch",
    abstract: "Draw jobs from a file of JSON lines, the model loaded once.",
    usage: "sdgen batch <jobs> [--trust-jobs] [<arguments of sdgen generate> ...]",
    discussion: """
      Each line is an object whose names are the arguments of sdgen generate without dashes:
        {"prompt": "a red circle", "seed": 7, "output": "circle.png"}
      Without "output" the picture is called job-1.png after its line. What each job gave is a line \
      of JSON on stdout. A job whose pictures are there already is skipped, so that a run that was \
      stopped goes on where it was; a bad job is reported, and the next one begins. Arguments of \
      sdgen generate that follow hold for every job that does not say otherwise. Jobs may come from \
      others: without --trust-jobs they replace no files and write only into the working directory \
      and below.

      EXAMPLES
        sdgen batch jobs.jsonl --model sd15.sdflat
        produce-jobs | sdgen batch - >results.jsonl
      """)

  @Argument(help: ArgumentHelp("The file of jobs; - for stdin.", valueName: "jobs"))
  var jobs: String

  @Flag(
    help: "Let jobs replace files that exist, and write outside the working directory.")
  var trustJobs = false

  /// What holds for every job that does not say otherwise.
  @OptionGroup(visibility: .hidden) var options: GenerateOptions

  func run() throws {
    var defaults = options.job
    guard defaults.output == nil else {
      throw Failure.usage(
        "-o goes with one job", hint: "give each job an \"output\" of its own")
    }
    try defaults.requireKnownScheduler()
    // A program that reads errors as JSON reads nothing else between them.
    let isJSON = defaults.json == true
    let isSilent = isJSON || defaults.quiet == true
    // Each job's report is a line of JSON here.
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

  /// What became of a job.
  enum Outcome: String, CaseIterable {
    case done, skipped, failed, cancelled
  }

  /// What happened to the files of a job while they were read. The model goes then, so that the next
  /// job loads what is there by now.
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

  /// Does the job of a line, and says what came of it.
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
      // An error behind pictures that were drawn.
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

  /// Memory that the process has in use now, in bytes.
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
