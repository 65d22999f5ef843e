import Diffusion
import OrderedJSON
import Pictures
import Terminal

/// A line of a jobs file.
struct JobLine {
  /// Counted from 1.
  let number: Int
  let content: LineReader.Line
  /// The first byte of the line in the file.
  let start: Int
  /// The file; nil for stdin.
  let file: String?

  private static let form = "a job is one JSON object on one line"

  var isBlank: Bool {
    if case .text(let text) = content { text.allSatisfy(\.isWhitespace) } else { false }
  }

  /// The job, with `defaults` for missing fields.
  ///
  /// - Throws: ``Failure`` with the problem, its location and a hint.
  func job(
    over defaults: DrawingJob, _ limits: JobLimits
  ) throws(Failure) -> DrawingJob {
    let object = try object()
    do throws(Failure) {
      let own = try DrawingJob(line: object)
      try limits.check(own)
      var job = own.over(defaults)
      job.json = true
      if job.output == nil {
        job.output =
          "job-\(number)." + (job.format.map { $0 == .jpeg ? "jpg" : $0.rawValue } ?? "png")
      }
      try job.requireDrawable()
      return job
    } catch {
      throw located(error)
    }
  }

  /// An error with the line's location.
  private func located(_ error: Failure) -> Failure {
    var error = error
    error.file = error.file ?? file
    error.offset = error.offset ?? start
    error.hint =
      error.hint ?? "correct the job; see sdgen generate --help for arguments and ranges"
    return error
  }

  private func malformed(_ message: String, at offset: Int = 0, hint: String) -> Failure {
    Failure(
      .data, code: "malformed", message, file: file, offset: start + offset, hint: hint)
  }

  private func object() throws(Failure) -> JSONObject {
    let text: String
    switch content {
    case .text(let line): text = line
    case .tooLong:
      throw malformed(
        "the line is longer than \(LineReader.limit) bytes", hint: "shorten it: " + Self.form)
    case .notText(let offset):
      throw malformed(
        "the line is not UTF-8", at: offset, hint: "save the file as UTF-8")
    }
    let json: JSON
    do throws(JSONError) {
      json = try JSON(parsing: text)
    } catch {
      throw explained(error, in: text)
    }
    guard let object = json.object else {
      throw malformed(
        "the line is not a JSON object",
        hint: #"write a job as {"prompt": "a red circle", "output": "circle.png"}"#)
    }
    return object
  }

  private func explained(_ error: JSONError, in text: String) -> Failure {
    let rest = String(decoding: text.utf8.dropFirst(error.offset).prefix(20), as: UTF8.self)
    let place = rest.isEmpty ? "at the end of the line" : "before \(rest)"
    let (message, hint) =
      switch error.reason {
      case .unexpectedByte:
        (
          "invalid JSON: something is missing or extra \(place)",
          "check commas, colons, quotes and brackets there; use double quotes for names and strings"
        )
      case .unexpectedEnd:
        ("the line ends inside the job", "close its quotes and brackets; " + Self.form)
      case .invalidEscape:
        (
          "invalid JSON: invalid escape sequence \(place)",
          #"write \\ for a backslash itself"#
        )
      case .invalidNumber:
        ("invalid JSON: invalid number \(place)", "write it as 7, 0.5 or 1e-3")
      case .duplicateKey:
        ("duplicate key \(error.key ?? "")", "remove one of them")
      case .trailingBytes:
        ("unexpected text after the job \(place)", "write one job per line")
      default: ("invalid JSON: \(error.reason.rawValue)", Self.form)
      }
    return malformed(message, at: error.offset, hint: hint)
  }
}
