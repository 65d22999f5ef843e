import Diffusion
import Testing

/// Prompts that change from step to step.
@Suite struct PromptScheduleTests {
  struct Example: Sendable, CustomTestStringConvertible {
    let prompt: String
    /// The last step (of ten) of each prompt, and the prompt.
    let stretches: [(Int, String)]
    var testDescription: String { prompt.debugDescription }

    init(_ prompt: String, _ stretches: (Int, String)...) {
      self.prompt = prompt
      self.stretches = stretches
    }
  }

  /// The examples of the web UI's parser, and others from its description.
  @Test(arguments: [
    Example("test", (10, "test")), Example("a [b:3]", (3, "a "), (10, "a b")),
    Example("a [b: 3]", (3, "a "), (10, "a b")),
    Example("a [[[b]]:2]", (2, "a "), (10, "a [[b]]")),
    Example("[(a:2):3]", (3, ""), (10, "(a:2)")),
    Example("a [b : c : 1] d", (1, "a b  d"), (10, "a  c  d")),
    Example("a[b:[c:d:2]:1]e", (1, "abe"), (2, "ace"), (10, "ade")),
    Example("a [unbalanced", (10, "a [unbalanced")),
    Example("a [b:.5] c", (5, "a  c"), (10, "a b c")),
    Example("((a][:b:c [d:3]", (3, "((a][:b:c "), (10, "((a][:b:c d")),
    Example(
      "[fe|]male", (1, "female"), (2, "male"), (3, "female"), (4, "male"), (5, "female"),
      (6, "male"), (7, "female"), (8, "male"), (9, "female"), (10, "male")),
    Example(
      "[a|(b:1.1)|c] d [e:5]", (1, "a d "), (2, "(b:1.1) d "), (3, "c d "), (4, "a d "),
      (5, "(b:1.1) d "), (6, "c d e"), (7, "a d e"), (8, "(b:1.1) d e"), (9, "c d e"),
      (10, "a d e")),
    Example("[a::4] b", (4, "a b"), (10, " b")), Example("[a:b:0]", (10, "b")),
    Example("[a:b:99]", (10, "a")), Example("[a:b:1.0]", (10, "a")),
    Example("[a:b:-1]", (10, "b")), Example("[a:b]", (10, "[a:b]")),
    Example(#"\[a|b\]"#, (10, #"\[a|b\]"#)), Example("[a (b|c)]", (10, "[a (b|c)]")),
    Example("[a:b:c:3]", (10, "[a:b:c:3]")), Example("[a:nan]", (10, "[a:nan]")),
    Example("[a]", (10, "[a]")), Example("", (10, "")),
  ])
  func stretches(_ example: Example) {
    let stretches = PromptSchedule(example.prompt, steps: 10).stretches
    #expect(stretches.map(\.steps.upperBound) == example.stretches.map(\.0))
    #expect(stretches.map(\.prompt) == example.stretches.map(\.1))
    var next = 1
    for stretch in stretches {
      #expect(stretch.steps.lowerBound == next)
      next = stretch.steps.upperBound + 1
    }
  }

  /// Second passes of hires fix: the examples of the web UI's parser for ten steps after ten, and
  /// what `get_learned_conditioning_prompt_schedules` of its prompt_parser.py gives for others.
  @Test(arguments: [
    (Example("a [b:.5] c", (10, "a b c")), 10),
    (Example("a [b:1.5] c", (5, "a  c"), (10, "a b c")), 10),
    (Example("[a:b:1.0]", (10, "b")), 10), (Example("[a:b:0.95]", (10, "b")), 10),
    (Example("[a:b:2.0]", (10, "a")), 10), (Example("[a:b:20]", (10, "b")), 20),
    (Example("[a:b:23]", (3, "a"), (10, "b")), 20), (Example("[a:b:5]", (10, "b")), 20),
    (Example("[a:[b:c:1.5]:12]", (2, "a"), (5, "b"), (10, "c")), 10),
    (
      Example(
        "[a|b|c]", (1, "a"), (2, "b"), (3, "c"), (4, "a"), (5, "b"), (6, "c"), (7, "a"), (8, "b"),
        (9, "c"), (10, "a")), 10
    ),
  ])
  func secondPass(_ example: Example, after firstPassSteps: Int) {
    let stretches = PromptSchedule(example.prompt, steps: 10, firstPassSteps: firstPassSteps)
      .stretches
    #expect(stretches.map(\.steps.upperBound) == example.stretches.map(\.0))
    #expect(stretches.map(\.prompt) == example.stretches.map(\.1))
  }

  /// Brackets deeper than a call stack, and a thousand alternatives.
  @Test(.timeLimit(.minutes(1))) func long() {
    for (depth, count) in [(99, 2), (50_000, 1)] {
      let deep = String(repeating: "[", count: depth) + "a:2" + String(repeating: "]", count: depth)
      #expect(PromptSchedule(deep, steps: 10).stretches.count == count)
    }
    let wide = "[" + String(repeating: "a|", count: 1000) + "b]"
    #expect(PromptSchedule(wide, steps: 1001).stretches.count == 2)
  }
}
