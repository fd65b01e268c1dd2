"""Starts and stops the controller: connections, leader election and everything that runs while leading."""
