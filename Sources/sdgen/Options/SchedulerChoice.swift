import ArgumentParser
import Diffusion
import OrderedJSON

/// A scheduler by any program's name for it, which may include the spacing of sigmas:
/// `dpmpp-2m`, `DPM++ 2M Karras`, `k_euler_a`.
struct SchedulerChoice: ExpressibleByArgument {
  let text: String
  /// The scheduler and spacing; nil for an unknown name, which ``check(besides:_:)`` rejects.
  let label: (scheduler: SchedulerDescriptor, sigmas: SigmaSpacing?)?

  init(argument: String) {
    text = argument
    label = SamplerLabel(name: argument).flatMap { label in
      guard let scheduler = SchedulerDescriptor(name: label.scheduler) else { return nil }
      return (scheduler, label.sigmas.flatMap(SigmaSpacing.init(name:)))
    }
  }

  static var allValueStrings: [String] { SchedulerDescriptor.all.map(\.name) }

  /// Rejects an unknown name, and a spacing that is also given by another option.
  func check(
    besides sigmas: SigmaSpacing?, _ spacing: SchedulerConfiguration.TimestepSpacing? = nil
  ) throws {
    guard let label else {
      let names = Self.allValueStrings
      var words = "unknown scheduler \(text)"
      let substitutes = SamplerLabel.substitutes(for: text)
      if !substitutes.isEmpty {
        words += "; closest: " + substitutes.map(\.phrase).joined(separator: ", or ")
      } else if let near = Spelling.nearest(to: text.lowercased(), in: names) {
        words += "; did you mean \(near)?"
      }
      throw ValidationError(words + "\nThe schedulers: \(names.joined(separator: ", "))")
    }
    if label.sigmas != nil, sigmas != nil {
      throw ValidationError(
        "--scheduler \(text) already sets the sigmas, so --sigmas is not allowed; use"
          + " --scheduler \(label.scheduler.name)")
    }
    if label.sigmas != nil, let spacing {
      throw ValidationError(
        "--scheduler \(text) sets the sigmas, so --spacing is not allowed; use"
          + " --scheduler \(label.scheduler.name) with --spacing \(spacing.rawValue)")
    }
  }
}

extension SamplerLabel.Substitute {
  /// The options that select it, and how it differs.
  fileprivate var phrase: String {
    let options = [
      ("scheduler", scheduler?.name), ("spacing", spacing?.rawValue), ("sigmas", sigmas),
      ("rng", randomSource?.rawValue),
    ]
    let phrase = options.compactMap { name, value in value.map { "--\(name) \($0)" } }
      .joined(separator: " ")
    if scheduler == nil {
      let example = SchedulerDescriptor.dpmppMultistep.name
      return phrase + " with --scheduler \(example) or another that accepts sigmas"
    }
    return phrase + (difference.map { ", which \($0)" } ?? "")
  }
}

/// Words that differ by a typo.
enum Spelling {
  /// The closest of some words, if at most two letters, and fewer than half, differ.
  static func nearest(to word: String, in words: [String]) -> String? {
    let distances = words.map {
      ($0, distance(Array(word.unicodeScalars), Array($0.unicodeScalars)))
    }
    guard let (nearest, distance) = distances.min(by: { $0.1 < $1.1 }), distance <= 2,
      2 * distance < word.unicodeScalars.count
    else { return nil }
    return nearest
  }

  /// Letters to insert, delete or replace: Levenshtein (1966).
  private static func distance(_ first: [Unicode.Scalar], _ second: [Unicode.Scalar]) -> Int {
    // No name is this long.
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
