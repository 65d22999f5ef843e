import ArgumentParser
import Checkpoint
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// Converts several checkpoints into one directory, independently, with a report at the end.
extension ConvertCommand {
  /// The result of one conversion.
  private enum Result {
    case planned(Conversion)
    case written(Conversion, Conversion.Outcome, seconds: Double)
    case skipped(path: String)
    case failed(Failure)
  }

  func convertAll(
    _ inputs: [String], into directory: String, _ options: Conversion.Options
  ) throws {
    let names = inputs.map(name)
    let repeated = Dictionary(grouping: names) { $0 }.first { $0.value.count > 1 }
    if let repeated {
      throw Failure.usage(
        "two inputs have the same output, \(repeated.key)",
        hint: "convert them one by one, to different names")
    }
    if !dryRun { try createDirectory(directory) }
    for input in inputs { InputFiles.shared.note(input) }
    var results: [Result] = []
    Interruption.say("cancelled: nothing was written")
    for (index, input) in inputs.enumerated() {
      let path = "\(directory)/\(names[index])"
      let result = convert(input, path, options, "\(index + 1) of \(inputs.count)")
      results.append(result)
      if case .written = result {
        Interruption.say("cancelled: partial outputs removed; rerun the same command to resume")
      }
    }
    if json {
      printJSON(["conversions": .array(zip(inputs, results).map(row))])
    } else {
      for (input, result) in zip(inputs, results) { printLine(input, result) }
    }
    for case .failed(let failure) in results { throw Ended(failure.status) }
  }

  private func convert(
    _ input: String, _ path: String, _ options: Conversion.Options, _ title: String
  ) -> Result {
    // An existing output is complete: an earlier run wrote it.
    if !force, !dryRun, access(path, F_OK) == 0 { return .skipped(path: path) }
    do {
      let conversion = try plan(input, path, options)
      if dryRun { return .planned(conversion) }
      let (outcome, seconds) = try execute(conversion, title)
      return .written(conversion, outcome, seconds: seconds)
    } catch {
      // The next conversion reads other files.
      let change = InputFiles.shared.takeChange()
      return .failed(change.map { Failure($0) } ?? Failure(wrapping: error))
    }
  }

  /// The output path of a single input: `output`, or a file in it if that is a directory and not
  /// itself the output.
  func place(of input: String, at output: String) throws -> String {
    let writesDirectory =
      target == .diffusers
      || target == .safetensors && isDirectory(input) && component.list == nil
    let isInside =
      if writesDirectory {
        isDirectory(output) && !ModelCheckpoint.isEmptyOrRepository(output)
      } else {
        output.hasSuffix("/") || isDirectory(output)
      }
    guard isInside else { return output }
    if !dryRun { try createDirectory(output) }
    var directory = output
    while directory.count > 1, directory.hasSuffix("/") { directory.removeLast() }
    return (directory == "/" ? "" : directory) + "/" + name(input)
  }

  /// The input's name with the layout's extension.
  private func name(_ input: String) -> String {
    var name = input.split(separator: "/").last.map(String.init) ?? input
    for ending in FormatDescriptor.weightsEndings
    where name.hasSuffix(ending) && name.count > ending.count {
      name.removeLast(ending.count)
      break
    }
    switch target {
    case .sdflat: return name + ".sdflat"
    case .gguf: return name + ".gguf"
    case .ldm: return name + (format == .bin ? ".ckpt" : ".safetensors")
    case .diffusers: return name
    case .safetensors:
      return isDirectory(input) ? name : name + (layout.isPyTorch ? ".pt" : ".safetensors")
    }
  }

  private func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  private func createDirectory(_ path: String) throws {
    guard !isDirectory(path), mkdir(path, 0o777) != 0 else { return }
    throw FormatError(
      .cannotCreate, "cannot create the directory: \(String(cString: strerror(errno)))",
      file: path,
      hint: "with several inputs, or with a slash at its end, the last path is the output directory"
    )
  }

  // MARK: Report

  private func row(_ input: String, _ result: Result) -> JSON {
    switch result {
    case .planned(let conversion): .object(object(conversion))
    case .written(let conversion, let outcome, let seconds):
      .object(object(conversion, outcome, seconds: seconds, status: "written"))
    case .skipped(let path):
      ["source": .string(input), "target": .string(path), "status": "skipped"]
    case .failed(let failure):
      [
        "source": .string(input), "status": "failed",
        "error": failure.json.object?["error"] ?? .null,
      ]
    }
  }

  private func printLine(_ input: String, _ result: Result) {
    switch result {
    case .planned(let conversion):
      printWarnings(conversion.source.warnings + conversion.warnings)
      printPlan(conversion)
      Console.print("")
    case .written(let conversion, let outcome, let seconds):
      printWarnings(conversion.source.warnings + conversion.warnings)
      report(conversion, outcome, seconds: seconds)
    case .skipped(let path):
      Console.print("skipped \(Console.sanitized(input)): \(Console.sanitized(path)) exists")
    case .failed(let failure):
      Console.print("failed \(Console.sanitized(input))")
      Console.note(failure.text)
    }
  }
}

/// The value of `--to`: a target, or `pytorch`, which is `safetensors` in PyTorch's format.
struct ConvertLayout: ExpressibleByArgument {
  let target: Conversion.Target
  let isPyTorch: Bool

  init?(argument: String) {
    isPyTorch = argument == "pytorch"
    guard let target = isPyTorch ? .safetensors : Conversion.Target(rawValue: argument) else {
      return nil
    }
    self.target = target
  }

  static var allValueStrings: [String] {
    Conversion.Target.allCases.map(\.rawValue) + ["pytorch"]
  }
}
extension WeightsFormat: ExpressibleByArgument {}

/// A target dtype on the command line.
enum CastType: String, ExpressibleByArgument, CaseIterable {
  case f32
  case f16
  case bf16
  /// GGUF's blocks of 32 bytes with a scale; unsuitable tensors become F16.
  case q8 = "q8_0"

  var dtype: DType {
    switch self {
    case .f32: .float32
    case .f16, .q8: .float16
    case .bf16: .bfloat16
    }
  }
}
