import Terminal
import Testing

struct BuildVersionTests {
  @Test func theCommitFollowsTheVersion() {
    #expect(
      BuildVersion.text("sdgen", "1.2.3", commit: "abc1234-dirty") == "sdgen 1.2.3 (abc1234-dirty)")
    #expect(BuildVersion.text("sdgen", "1.2.3", commit: "") == "sdgen 1.2.3")
  }
}
