import Foundation
import Pictures
import TestSupport
import Testing

/// Metadata that sdkit, the program's former name, wrote into images.
@Suite struct FormerNameTests {
  /// Images that version 0.1.0 made, then called sdkit: `sdgen "a large yellow star on a purple
  /// background" --seed 3 --steps 30`, and likewise the heart.
  @Test(arguments: ["star", "heart"]) func jobsInPNGAreRead(_ name: String) throws {
    let file = try PictureFile.read(Fixtures.path("pictures/sdkit-\(name).png"))
    let job = try #require(file.metadata.job)
    #expect(job.contains(#""program":"sdkit "#))
  }

  @Test func jobsInEXIFAreRead() throws {
    let job = #"{"version":1}"#
    var bytes = EXIF(comment: nil, makerNote: job).bytes()
    let mark = Array("sdloom\0".utf8)
    let place = try #require(
      bytes.indices.first { bytes[$0...].starts(with: mark) })
    #expect(EXIF(parsing: bytes).makerNote == job)
    // One byte shorter; the space becomes part of the job.
    bytes.replaceSubrange(place..<place + mark.count, with: Array("sdkit\0 ".utf8))
    #expect(EXIF(parsing: bytes).makerNote == " " + job)
    bytes.replaceSubrange(place..<place + mark.count, with: Array("other\0 ".utf8))
    #expect(EXIF(parsing: bytes).makerNote == nil)
  }
}
