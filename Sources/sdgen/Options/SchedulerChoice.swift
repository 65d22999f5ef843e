import ArgumentParser
import Diffusion
import OrderedJSON

/// A scheduler by any program's name for it, which may hold the spacing of noise levels too:
/// `dpmpp-2m`, `DPM++ 2M Karras`, `k_euler_a`.
struct SchedulerChoice: ExpressibleByArgument {
  private let text: String
  /// What it stands for; nil where it is unknown, which ``check(besides:)`` refuses.
  let label: (name: SchedulerName, sigmas: SigmaSpacing?)?

  init(argument: String) {
    text = argument
    label = SamplerLabel(name: argument).flatMap { label in
      guard let name = SchedulerName(rawValue: label.scheduler) else { return nil }
      return (name, label.sigmas.flatMap { try? SigmaSpacing(parsing: $0) })
    }
  }

  static var allValueStrings: [String] { SchedulerName.allCases.map(\.rawValue) }

  /// Refuses a name that is not known, and a spacing that is said twice.
  func check(
    besides sigmas: SigmaSpacing?, _ spacing: SchedulerConfiguration.TimestepSpacing? = nil
  ) throws {
    guard let label else {
      let names = Self.allValueStrings
      var words = "--scheduler is \(text), which is not known here"
      if let substitute = SamplerLabel.substitute(for: text) {
        words += "; the nearest: \(substitute)"
      } else if let near = Spelling.nearest(to: text.lowercased(), in: names) {
        words += "; did you mean \(near)?"
      }
      throw ValidationError(words + "\nThe schedulers: \(names.joined(separator: ", "))")
    }
    if label.sigmas != nil, sigmas != nil {
      throw ValidationError(
        "--scheduler is \(text), which says the noise levels, and --sigmas says them too; give"
          + " --scheduler \(label.name.rawValue)")
    }
    if label.sigmas != nil, let spacing {
      throw ValidationError(
        "--scheduler is \(text), which says the noise levels; --spacing excludes them; give"
          + " --scheduler \(label.name.rawValue) with --spacing \(spacing.rawValue)")
    }
  }
}

extension JobArguments {
  /// The same with the scheduler by its name here, and the noise levels that its name said apart.
  var withOwnSchedulerName: JobArguments {
    guard let text = text("scheduler"), let label = SamplerLabel(name: text) else { return self }
    var result = self
    result["scheduler"] = .string(label.scheduler)
    if let sigmas = label.sigmas, self["sigmas"] == nil { result["sigmas"] = .string(sigmas) }
    return result
  }
}

/// Words that differ by a slip.
enum Spelling {
  /// The nearest of some words, where it differs by at most two letters and less than a half.
  static func nearest(to word: String, in words: [String]) -> String? {
    let distances = words.map {
      ($0, distance(Array(word.unicodeScalars), Array($0.unicodeScalars)))
    }
    guard let (nearest, distance) = distances.min(by: { $0.1 < $1.1 }), distance <= 2,
      2 * distance < word.unicodeScalars.count
    else { return nil }
    return nearest
  }

  /// Letters to put in, take out or replace: Levenshtein (1966).
  private static func distance(_ first: [Unicode.Scalar], _ second: [Unicode.Scalar]) -> Int {
    // A long word is none of ours.
    guard first.count < 64 else { return .max }
    var row = Array(0...second.count)
    for (index, letter) in first.enumerated() {
      var corner = row[0]
      row[0] = index + 1
      for (column, other) in second.enumerated() {
        let replaced = corner + (letter == other ? 0 : 1)
        corner = row[column + 1]
        row[column + 1] = min(replaced, min(row[column], row[column + 1]) + 1)
      }
    }
    return row[second.count]
  }
}
