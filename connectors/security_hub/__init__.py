"""AWS Security Hub: findings in ASFF, polled or from files and events."""
