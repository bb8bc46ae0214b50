"""Classes to trees and redundant groups, on one machine or on Ray."""
