"""The group browser: images, trees and pairs packed for one ES module that draws them anywhere."""
