"""Simulated vendors: services that keep the real API's rules, all fed from one company. The engine imports none."""
